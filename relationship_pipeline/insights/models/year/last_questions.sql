-- Emails that may be too young to count as unanswered. grain: (record_type, record_id, question).
-- inputs: month_last_questions, crm_threads.
select record_type, record_id, by_us, question, sent_at
from month_last_questions
union all
select record_type, record_id, by_us, hash(activity), happened_at
from crm_threads
