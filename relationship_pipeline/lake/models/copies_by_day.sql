-- How many copies the month keeps for each of its days, for the operator's chart. Grain: day of the month, in order.
-- Inputs: ranked_copies, bounds(starts, ends).
with days as (
    select unnest(generate_series((select starts from bounds), (select ends from bounds) - interval 1 day, interval 1 day)) as day
)

select count(ranked_copies.mailbox) as copies
from days
left join ranked_copies
    on date_trunc('day', ranked_copies.received_at) = days.day and not ranked_copies.is_left_out
group by days.day
order by days.day
