-- Stored: candidate answers across the border to the month before; the 12-month build takes the earliest of these and
-- the months' own, as far as both emails lie in the window (N8).
-- grain: (record_type, record_id, question, answer). inputs: dialogue, answers, labels.
with
forward as (
    select question.*, answer.key as answer, answer.sent_at as answer_at,
        answer.received_at as answer_received_at
    from (select * from dialogue where is_border) as question
    asof inner join (select * from answers where not is_border) as answer
        on answer.record = question.record
        and answer.thread = question.thread
        and answer.question_by_us = question.by_us
        and answer.sent_at > question.sent_at
),

backward as (
    select question.*, answer.key as answer, answer.sent_at as answer_at,
        answer.received_at as answer_received_at
    from (select * from dialogue where not is_border) as question
    inner join (select * from answers where is_border) as answer
        on answer.record = question.record
        and answer.thread = question.thread
        and answer.question_by_us = question.by_us
        and answer.sent_at > question.sent_at
),

candidates as (
    select * from forward
    union all
    select * from backward
)

select
    labels.record_type,
    labels.record_id,
    candidates.thread,
    not candidates.by_us as by_us,
    candidates.key as question,
    candidates.sent_at as question_at,
    candidates.received_at as question_received_at,
    candidates.answer,
    candidates.answer_at,
    candidates.answer_received_at
from candidates
inner join labels on labels.record = candidates.record
where epoch_us(candidates.answer_at) - epoch_us(candidates.sent_at) <= 604_800_000_000
order by candidates.record, candidates.thread, question, answer
