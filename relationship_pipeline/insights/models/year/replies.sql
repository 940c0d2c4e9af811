-- Answered emails of all records: stored by month, and of opportunities and leads over the window.
-- grain: (record_type, record_id, question). inputs: month_replies, crm_replies.
select record_type, record_id, thread, by_us, question, question_at, answer, answer_at, is_first
from month_replies
union all
select record_type, record_id, thread, by_us, question, question_at, answer, answer_at, is_first
from crm_replies
