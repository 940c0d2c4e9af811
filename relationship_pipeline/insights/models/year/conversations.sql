-- Conversations of all records: stored by month, and of opportunities and leads over the window.
-- grain: (record_type, record_id, thread, month). inputs: month_conversations, crm_threads.
select record_type, record_id, thread, first_at, by_us
from month_conversations
union all
select record_type, record_id, thread, min(happened_at), arg_min(by_us, (happened_at, activity))
from crm_threads
where thread is not null
group by record_type, record_id, thread
