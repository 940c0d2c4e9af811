-- Interactions of contacts, opportunities and leads by day, weighted. Accounts are rolled up from their contacts.
-- grain: (record_id, day). inputs: record_days, health_constants(k).
with
sums as (
    select
        record_id,
        day,
        emails_sent,
        emails_received,
        meetings_sent + meetings_received as meetings,
        phone_calls_made as calls_made,
        phone_calls_received as calls_received,
        sent_answerable,
        received_answerable
    from record_days
)

select
    sums.*,
    (
        k.weight_email * (emails_sent + emails_received)
        + k.weight_meeting * meetings
        + k.weight_phone_call * (calls_made + calls_received)
    ) / 6 as weighted
from sums, health_constants
