-- Published: counts of each record by day.
-- grain: (record_type, record_id, day). inputs: email_days, meeting_days, crm_days. parameters: $as_of, and
--   $record_type, $first_id, $end_id (the records to do, as in pair_sums).
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
    $record_type::varchar as record_type,
    record_id,
    day,
    coalesce(sum(emails_sent), 0)::bigint as emails_sent,
    coalesce(sum(emails_received), 0)::bigint as emails_received,
    coalesce(sum(meetings_sent), 0)::bigint as meetings_sent,
    coalesce(sum(meetings_received), 0)::bigint as meetings_received,
    coalesce(sum(phone_calls_made), 0)::bigint as phone_calls_made,
    coalesce(sum(phone_calls_received), 0)::bigint as phone_calls_received,
    $as_of::timestamptz as as_of
from parts
group by record_id, day
