-- Published: counts of each record by day. grain: (record_type, record_id, day). inputs: record_days.
-- parameters: $as_of, $record_type (of the records that record_days holds).
select
    $record_type::varchar as record_type,
    record_id,
    day,
    emails_sent,
    emails_received,
    meetings_sent,
    meetings_received,
    phone_calls_made,
    phone_calls_received,
    $as_of::timestamptz as as_of
from record_days
