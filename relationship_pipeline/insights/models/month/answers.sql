-- Emails as answers; of two by one side at one instant the smaller key answers (any fixed choice would do).
-- grain: (record, thread, by_us, sent_at, is_border). inputs: dialogue.
select
    record,
    thread,
    not by_us as question_by_us,
    sent_at,
    is_border,
    min(key) as key,
    arg_min(received_at, key) as received_at
from dialogue
group by record, thread, by_us, sent_at, is_border
