-- Conversations of all records: stored by month, and of opportunities and leads over the window. `first_mark`:
-- microseconds since 1970 x 2 + by_us.
-- grain: (record_type, record_id, thread, month). inputs: month_conversations, crm_threads.
select record_type, record_id, thread, first_mark
from month_conversations
union all
select record_type, record_id, thread, min(epoch_us(happened_at) * 2 + by_us::bigint)
from crm_threads
where thread is not null
group by record_type, record_id, thread
