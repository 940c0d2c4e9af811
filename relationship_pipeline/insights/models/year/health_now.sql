-- Health of every record at as_of. grain: (record_type, record_id).
-- inputs: known_records, health_scores, health_rhythm, crm_states(record_type, record_id, is_open, closed_at),
--   health_instants(on_day, is_now), health_constants(k). parameters: $as_of.
with
judged as (
    select
        known_records.record_type,
        known_records.record_id,
        health_scores.* exclude (record_type, record_id, month, is_now),
        health_rhythm.usual_gap,
        health_rhythm.recent,
        health_rhythm.base,
        date_diff('day', health_rhythm.first_on, health_instants.on_day) + 1 as known_days,
        case
            when known_records.record_type = 'account' and not k.accounts then 'not_applicable'
            when not crm_states.is_open then closed_state(crm_states.closed_at, $as_of::timestamptz)
            else health_state(health_scores.score, k)
        end as state,
        k
    from known_records
    cross join health_constants
    inner join health_instants on health_instants.is_now
    left join health_scores
        on health_scores.record_type = known_records.record_type
        and health_scores.record_id = known_records.record_id
        and health_scores.is_now
    left join health_rhythm
        on health_rhythm.record_type = known_records.record_type
        and health_rhythm.record_id = known_records.record_id
    left join crm_states
        on crm_states.record_type = known_records.record_type
        and crm_states.record_id = known_records.record_id
)

select
    * exclude (score, k, known_days),
    case when state in ('good', 'fair', 'poor') then score end as score,
    case
        when state in ('not_applicable', 'older_than_two_years') then 'not_applicable'
        when state = 'not_enough_info' or recent is null or known_days < k.recent_days + k.base_days
            then 'not_enough_info'
        else health_trend(recent, base, days_since_last, coalesce(usual_gap, 0), k)
    end as trend
from judged
