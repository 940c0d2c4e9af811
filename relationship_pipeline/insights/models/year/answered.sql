-- Every answered email of the window, once. `is_reply`: the row by which its answer is counted.
-- grain: (record_type, record_id, by_us, question). inputs: replies, tangled_replies.
-- parameters: $record_type, $first_id, $end_id (the records to do, as in record_slices).
with
untangled as (
    select *
    from replies
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
),

tangled as (
    select *
    from tangled_replies
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
),

whole as (
    select untangled.*
    from untangled
    anti join tangled on tangled.record_id = untangled.record_id and tangled.thread = untangled.thread
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
    row_number() over (partition by record_id, by_us, answer order by question_at, question) = 1
from tangled
