-- Interactions of contacts, opportunities and leads by day, weighted. Accounts are rolled up from their contacts.
-- grain: (record_type, record_id, day), before kinds are joined. inputs: email_days, meeting_days, crm_days,
--   health_constants(k).
with
parts as (
    select * from email_days
    union all by name
    select * from meeting_days
    union all by name
    select * from crm_days
)

select
    record_type,
    record_id,
    day,
    coalesce(emails_sent, 0) as emails_sent,
    coalesce(emails_received, 0) as emails_received,
    coalesce(meetings_sent, 0) + coalesce(meetings_received, 0) as meetings,
    coalesce(phone_calls_made, 0) as calls_made,
    coalesce(phone_calls_received, 0) as calls_received,
    coalesce(sent_answerable, 0) as sent_answerable,
    coalesce(received_answerable, 0) as received_answerable,
    (
        k.weight_email * (coalesce(emails_sent, 0) + coalesce(emails_received, 0))
        + k.weight_meeting * (coalesce(meetings_sent, 0) + coalesce(meetings_received, 0))
        + k.weight_phone_call * (coalesce(phone_calls_made, 0) + coalesce(phone_calls_received, 0))
    ) / 6 as weighted
from parts, health_constants
where record_type <> 'account'
