-- Candidate answers across a month's border, both emails in the window.
-- grain: (record_type, record_id, question, answer). inputs: border_replies. parameters: $since.
select record_type, record_id, thread, by_us, question, question_at, answer, answer_at
from border_replies
where question_received_at >= $since and answer_received_at >= $since
