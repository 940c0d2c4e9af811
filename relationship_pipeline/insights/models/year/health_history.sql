-- Published: scores at the end of each month of the window, and at as_of. An email of the month counts as due for an
-- answer. grain: (record_type, record_id, month). inputs: health_inputs, health_scores, health_constants(k).
-- parameters: $as_of.
with
known as (
    select record_type, record_id, month from health_inputs
    union
    select record_type, record_id, month from health_scores
)

select
    known.record_type,
    known.record_id,
    known.month,
    health_scores.score as health_score,
    health_state(health_scores.score, k) as health_state,
    $as_of::timestamptz as as_of
from known
cross join health_constants
left join health_scores
    on health_scores.record_type = known.record_type
    and health_scores.record_id = known.record_id
    and health_scores.month = known.month
