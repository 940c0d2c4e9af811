-- How many copies the month keeps for each of its days, for the operator's chart. Grain: day of the month, in order.
-- Inputs: ranked_copies, bounds(starts, ends).
with days as (
    select unnest(range(
        (select starts::date from bounds)::timestamp, (select ends::date from bounds)::timestamp, interval 1 day
    ))::date as day
),

kept as (
    select received_at::date as day
    from ranked_copies
    where not is_left_out
)

select count(kept.day) as copies
from days
left join kept on kept.day = days.day
group by days.day
order by days.day
