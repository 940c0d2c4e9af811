-- Counts, times and marks of each record over the window.
-- grain: (record_type, record_id). inputs: email_records, meeting_records, crm_days.
with
parts as (
    select * from email_records
    union all by name
    select * from meeting_records
    union all by name
    select * exclude (day) from crm_days
)

select
    record_type,
    record_id,
    coalesce(sum(emails_sent), 0)::bigint as emails_sent,
    coalesce(sum(emails_received), 0)::bigint as emails_received,
    coalesce(sum(meetings_sent), 0)::bigint as meetings_sent,
    coalesce(sum(meetings_received), 0)::bigint as meetings_received,
    coalesce(sum(phone_calls_made), 0)::bigint as phone_calls_made,
    coalesce(sum(phone_calls_received), 0)::bigint as phone_calls_received,
    coalesce(sum(sent_answerable), 0)::bigint as sent_answerable,
    coalesce(sum(received_answerable), 0)::bigint as received_answerable,
    sum(team_micros)::bigint as team_micros,
    sum(customer_micros)::bigint as customer_micros,
    min(first_at) as first_at,
    max(last_mark) as last_mark
from parts
group by record_type, record_id
