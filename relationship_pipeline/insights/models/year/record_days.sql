-- Counts of each record by day. Of these come the published days and, of all but accounts, health.
-- grain: (record_id, day). inputs: email_days, meeting_days, crm_days.
-- parameters: $record_type, $first_id, $end_id (the records to do, as in record_slices).
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
)

select
    record_id,
    day,
    coalesce(sum_no_overflow(emails_sent), 0)::bigint as emails_sent,
    coalesce(sum_no_overflow(emails_received), 0)::bigint as emails_received,
    coalesce(sum_no_overflow(meetings_sent), 0)::bigint as meetings_sent,
    coalesce(sum_no_overflow(meetings_received), 0)::bigint as meetings_received,
    coalesce(sum_no_overflow(phone_calls_made), 0)::bigint as phone_calls_made,
    coalesce(sum_no_overflow(phone_calls_received), 0)::bigint as phone_calls_received,
    coalesce(sum_no_overflow(sent_answerable), 0)::bigint as sent_answerable,
    coalesce(sum_no_overflow(received_answerable), 0)::bigint as received_answerable
from parts
group by record_id, day
