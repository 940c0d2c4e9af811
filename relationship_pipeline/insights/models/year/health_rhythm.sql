-- The rhythm of each relationship: its usual gap between days with contact, and how much there was lately.
-- grain: (record_type, record_id). inputs: health_days, health_instants(on_day, is_now), health_constants(k).
-- parameters: $record_type (of the records that health_days holds).
with
gaps as (
    select
        *,
        date_diff('day', lag(day) over (partition by record_id order by day), day) as gap,
        date_diff('day', day, health_instants.on_day) as age
    from health_days
    inner join health_instants on health_instants.is_now
)

select
    $record_type::varchar as record_type,
    record_id,
    median(gap) as usual_gap,
    min(day) as first_on,
    coalesce(sum(weighted) filter (where age < k.recent_days), 0) as recent,
    coalesce(sum(weighted) filter (where age >= k.recent_days and age < k.recent_days + k.base_days), 0) as base
from gaps, health_constants
group by record_id
