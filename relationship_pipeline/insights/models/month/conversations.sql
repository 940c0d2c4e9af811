-- Stored: conversations with an email in the month, and whose was the earliest (N8; `first_mark` of threads).
-- grain: (record_type, record_id, thread). inputs: threads, labels.
select labels.record_type, labels.record_id, threads.thread, threads.first_mark
from threads
inner join labels on labels.record = threads.record
where threads.first_mark is not null
order by threads.record, threads.thread
