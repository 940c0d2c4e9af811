-- Every answered email of the window, once. `is_reply`: the row by which its answer is counted.
-- grain: (record_type, record_id, by_us, question). inputs: replies, tangled_replies.
with
tangled_threads as (
    select distinct record_type, record_id, thread from tangled_replies
),

whole as (
    select replies.*
    from replies
    anti join tangled_threads
        on tangled_threads.record_type = replies.record_type
        and tangled_threads.record_id = replies.record_id
        and tangled_threads.thread = replies.thread
)

select record_type, record_id, by_us, question, question_at, answer_at, is_first as is_reply
from whole
union all
select
    record_type,
    record_id,
    by_us,
    question,
    question_at,
    answer_at,
    row_number() over (partition by record_type, record_id, by_us, answer order by question_at, question) = 1
from tangled_replies
