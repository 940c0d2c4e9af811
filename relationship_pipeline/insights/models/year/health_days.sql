-- Interactions of contacts, opportunities and leads by day, weighted. Accounts are rolled up from their contacts.
-- grain: (record_type, record_id, day). inputs: email_days, meeting_days, crm_days, health_constants(k).
-- parameters: $record_type, $first_id, $end_id (the records to do, as in pair_sums).
with
parts as (
    select * from email_days
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
    union all by name
    select * from meeting_days
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
    union all by name
    select * from crm_days
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
),

sums as (
    select
        record_id,
        day,
        coalesce(sum(emails_sent), 0)::bigint as emails_sent,
        coalesce(sum(emails_received), 0)::bigint as emails_received,
        (coalesce(sum(meetings_sent), 0) + coalesce(sum(meetings_received), 0))::bigint as meetings,
        coalesce(sum(phone_calls_made), 0)::bigint as calls_made,
        coalesce(sum(phone_calls_received), 0)::bigint as calls_received,
        coalesce(sum(sent_answerable), 0)::bigint as sent_answerable,
        coalesce(sum(received_answerable), 0)::bigint as received_answerable
    from parts
    group by record_id, day
)

select
    $record_type::varchar as record_type,
    sums.*,
    (
        k.weight_email * (emails_sent + emails_received)
        + k.weight_meeting * meetings
        + k.weight_phone_call * (calls_made + calls_received)
    ) / 6 as weighted
from sums, health_constants
