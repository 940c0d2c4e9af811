-- Scores with whole points by part that sum to them (largest remainder, equal remainders to the earlier part).
-- grain: (record_type, record_id, month). inputs: health_parts.
with
floored as (
    select
        *,
        floor(activity + recency + engagement + responsiveness + 0.5) as score,
        floor(activity) as activity_floor,
        floor(recency) as recency_floor,
        floor(engagement) as engagement_floor,
        floor(responsiveness) as responsiveness_floor
    from health_parts
),

remainders as (
    select
        *,
        score - activity_floor - recency_floor - engagement_floor - responsiveness_floor as missing,
        activity - activity_floor as a,
        recency - recency_floor as r,
        engagement - engagement_floor as e,
        responsiveness - responsiveness_floor as s
    from floored
)

select
    * exclude (a, r, e, s, missing, activity_floor, recency_floor, engagement_floor, responsiveness_floor)
    replace (
        score::integer as score,
        (activity_floor + ((r > a)::int + (e > a)::int + (s > a)::int < missing)::int)::integer as activity,
        (recency_floor + ((a >= r)::int + (e > r)::int + (s > r)::int < missing)::int)::integer as recency,
        (engagement_floor + ((a >= e)::int + (r >= e)::int + (s > e)::int < missing)::int)::integer as engagement,
        (responsiveness_floor + ((a >= s)::int + (r >= s)::int + (e >= s)::int < missing)::int)::integer
            as responsiveness
    )
from remainders
