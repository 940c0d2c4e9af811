-- Stored: answered emails of the month, answered within it. Keys are 64-bit hashes, compared within one record and
-- conversation only. `is_first`: the answer's earliest question, so that counting these counts answers.
-- grain: (record_type, record_id, question). inputs: month_replies, labels.
select
    labels.record_type,
    labels.record_id,
    month_replies.thread,
    month_replies.by_us,
    month_replies.question,
    month_replies.question_at,
    month_replies.answer,
    month_replies.answer_at,
    row_number() over (
        partition by month_replies.record, month_replies.answer
        order by month_replies.question_at, month_replies.question
    ) = 1 as is_first
from month_replies
inner join labels on labels.record = month_replies.record
order by
    month_replies.record,
    month_replies.thread,
    month_replies.question_at,
    month_replies.question
