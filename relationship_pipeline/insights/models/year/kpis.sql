-- The measures that all four KPI tables share (N5-N10), without health.
-- grain: (record_type, record_id). inputs: known_records, records, responses, young_questions, conversation_starts,
--   next_meetings(record_type, record_id, next_meeting_at). parameters: $as_of, $updated_at, $computation_accuracy.
with
joined as (
    select
        known_records.record_type,
        known_records.record_id,
        coalesce(records.emails_sent, 0) as emails_sent,
        coalesce(records.emails_received, 0) as emails_received,
        coalesce(records.meetings_sent, 0) as meetings_sent,
        coalesce(records.meetings_received, 0) as meetings_received,
        coalesce(records.phone_calls_made, 0) as phone_calls_made,
        coalesce(records.phone_calls_received, 0) as phone_calls_received,
        coalesce(responses.replies_by_us, 0) as replies_by_us,
        coalesce(responses.replies_by_them, 0) as replies_by_them,
        coalesce(conversation_starts.conversations_started_by_us, 0) as conversations_started_by_us,
        coalesce(conversation_starts.conversations_started_by_them, 0) as conversations_started_by_them,
        coalesce(records.team_micros, 0) as team_micros,
        coalesce(records.customer_micros, 0) as customer_micros,
        responses.answered_by_us,
        responses.answered_by_them,
        responses.response_micros_by_us,
        responses.response_micros_by_them,
        responses.median_response_hours_by_us,
        responses.median_response_hours_by_them,
        coalesce(records.received_answerable, 0) - coalesce(young_questions.received_waiting, 0) as asked_by_them,
        coalesce(records.sent_answerable, 0) - coalesce(young_questions.sent_waiting, 0) as asked_by_us,
        records.first_at,
        records.last_mark,
        next_meetings.next_meeting_at
    from known_records
    left join records using (record_type, record_id)
    left join responses using (record_type, record_id)
    left join young_questions using (record_type, record_id)
    left join conversation_starts using (record_type, record_id)
    left join next_meetings using (record_type, record_id)
)

select
    record_type,
    record_id,
    emails_sent,
    emails_received,
    meetings_sent,
    meetings_received,
    phone_calls_made,
    phone_calls_received,
    replies_by_us,
    replies_by_them,
    conversations_started_by_us,
    conversations_started_by_them,
    team_micros / 60_000_000 as team_minutes,
    customer_micros / 60_000_000 as customer_minutes,
    coalesce(answered_by_us, 0) / nullif(asked_by_them, 0) as response_rate_by_us,
    coalesce(answered_by_them, 0) / nullif(asked_by_us, 0) as response_rate_by_them,
    median_response_hours_by_us,
    median_response_hours_by_them,
    response_micros_by_us / 3_600_000_000 / nullif(answered_by_us, 0) as mean_response_hours_by_us,
    response_micros_by_them / 3_600_000_000 / nullif(answered_by_them, 0) as mean_response_hours_by_them,
    emails_sent / nullif(emails_received, 0) as sent_received_ratio,
    emails_received / nullif(emails_sent, 0) as received_sent_ratio,
    first_at as first_interaction_at,
    make_timestamptz(last_mark // 8) as last_interaction_at,
    case last_mark % 8 // 2 when 0 then 'email' when 1 then 'meeting' when 2 then 'phone_call' end
        as last_interaction_type,
    case last_mark % 2 when 1 then 'sent' when 0 then 'received' end as last_interaction_direction,
    case
        when last_mark is not null
            then greatest((epoch_us($as_of::timestamptz) - last_mark // 8) // 86_400_000_000, 0)
    end as days_since_last_interaction,
    next_meeting_at,
    $computation_accuracy as computation_accuracy,
    $updated_at::timestamptz as updated_at,
    $as_of::timestamptz as as_of
from joined
