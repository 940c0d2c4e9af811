-- Answers in conversations that cross a month's border: of all candidates the first answers (N8).
-- grain: (record_type, record_id, by_us, question). inputs: replies, valid_border_replies.
with
threads as (
    select distinct record_type, record_id, thread from valid_border_replies
),

candidates as (
    select replies.record_type, replies.record_id, replies.thread, replies.by_us, replies.question, replies.question_at,
        replies.answer, replies.answer_at
    from replies
    inner join threads
        on threads.record_type = replies.record_type
        and threads.record_id = replies.record_id
        and threads.thread = replies.thread
    union all
    select * from valid_border_replies
)

select
    record_type,
    record_id,
    thread,
    by_us,
    question,
    min(question_at) as question_at,
    arg_min(answer, (answer_at, answer)) as answer,
    min(answer_at) as answer_at
from candidates
group by record_type, record_id, thread, by_us, question
