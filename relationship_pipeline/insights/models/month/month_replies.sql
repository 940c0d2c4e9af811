-- N8: each email of the month with the first later one the other way, in its conversation, within 168 hours.
-- grain: question (record, key). inputs: dialogue, answers.
select
    question.record,
    question.thread,
    not question.by_us as by_us,
    question.key as question,
    question.sent_at as question_at,
    answer.key as answer,
    answer.sent_at as answer_at
from (select * from dialogue where not is_border) as question
asof inner join (select * from answers where not is_border) as answer
    on answer.record = question.record
    and answer.thread = question.thread
    and answer.question_by_us = question.by_us
    and answer.sent_at > question.sent_at
where epoch_us(answer.sent_at) - epoch_us(question.sent_at) <= 604_800_000_000
