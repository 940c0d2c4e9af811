-- Stored: conversations with an email in the month, and whose was the earliest (N8).
-- grain: (record_type, record_id, thread). inputs: threads, labels.
select
    labels.record_type,
    labels.record_id,
    threads.thread,
    threads.starts.happened_at as first_at,
    threads.starts.by_us as by_us
from threads
inner join labels on labels.record = threads.record
where threads.starts is not null
order by threads.record, threads.thread
