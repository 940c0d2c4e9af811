-- Interactions between one of us and a contact, an account or another of us, by one number for type, record and colleague:
-- half the time of grouping by three columns. `is_tie`: not above the largest audience (K2). `weight`: full_audience / n
-- above it, in units of 2^-40.
-- grain: (pair, interaction). inputs: interactions_of_pairs. parameters: $full_audience.
select
    ((case record_type when 'contact' then 1 when 'account' then 2 else 3 end)::bigint << 60)
        | (record::bigint << 30) | colleague as pair,
    kind = 'outward' as is_outward,
    kind = 'meeting' as is_meeting,
    happened_at,
    is_tie,
    is_accepted,
    case when audience > $full_audience then $full_audience / audience else 1 end * 1_099_511_627_776 as weight
from interactions_of_pairs
