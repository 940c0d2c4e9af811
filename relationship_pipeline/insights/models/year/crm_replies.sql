-- N8 for the emails of crm_links. grain: question (record_type, record_id, activity). inputs: crm_threads.
with
answers as (
    select record_type, record_id, thread, not by_us as question_by_us, happened_at, min(activity) as activity
    from crm_threads
    where thread is not null
    group by record_type, record_id, thread, by_us, happened_at
)

select
    question.record_type,
    question.record_id,
    question.thread,
    not question.by_us as by_us,
    hash(question.activity) as question,
    question.happened_at as question_at,
    hash(answer.activity) as answer,
    answer.happened_at as answer_at,
    row_number() over (
        partition by question.record_type, question.record_id, answer.activity
        order by question.happened_at, question.activity
    ) = 1 as is_first
from crm_threads as question
asof inner join answers as answer
    on answer.record_type = question.record_type
    and answer.record_id = question.record_id
    and answer.thread = question.thread
    and answer.question_by_us = question.by_us
    and answer.happened_at > question.happened_at
where answer.happened_at <= question.happened_at + interval 168 hours
