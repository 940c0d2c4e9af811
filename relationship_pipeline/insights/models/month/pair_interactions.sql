-- Interactions between one of us and a contact, an account or another of us, by one number for record and colleague: half
-- the time of grouping by columns. `micros`: when, since 1970. `is_tie`: not above the largest audience (K2).
-- `weight`: full_audience / n above it, in units of 2^-40.
-- grain: (pair, interaction). inputs: interactions_of_pairs. parameters: $full_audience.
select
    (record::bigint << 31) | colleague as pair,
    kind = 'outward' as is_outward,
    epoch_us(happened_at) as micros,
    is_tie,
    is_accepted,
    case when audience > $full_audience then $full_audience / audience else 1 end * 1_099_511_627_776 as weight
from interactions_of_pairs
