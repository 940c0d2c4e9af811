-- Published: scores at the end of each month of the window, and at as_of. An email of the month counts as due for an
-- answer. What is closed has no score from the month on in which it was closed; where the CRM does not say when, at as_of.
-- grain: (record_type, record_id, month). inputs: health_inputs, health_scores, crm_states(record_type, record_id, is_open,
--   closed_at), health_instants(month, on_day, is_now), health_constants(k). parameters: $as_of.
with
known as (
    select record_type, record_id, month from health_inputs
    union
    select record_type, record_id, month from health_scores
),

instants as (
    select month, is_now, case when is_now then $as_of::timestamptz else (on_day + 1)::timestamptz end as instant
    from health_instants
),

judged as (
    select
        known.record_type,
        known.record_id,
        known.month,
        health_scores.score,
        case
            when not crm_states.is_open and (instants.is_now or crm_states.closed_at < instants.instant)
                then closed_state(crm_states.closed_at, instants.instant)
            else health_state(health_scores.score, k)
        end as state
    from known
    cross join health_constants
    inner join instants on instants.month = known.month
    left join health_scores
        on health_scores.record_type = known.record_type
        and health_scores.record_id = known.record_id
        and health_scores.month = known.month
    left join crm_states
        on crm_states.record_type = known.record_type
        and crm_states.record_id = known.record_id
)

select
    record_type,
    record_id,
    month,
    case when state in ('good', 'fair', 'poor') then score end as health_score,
    state as health_state,
    $as_of::timestamptz as as_of
from judged
