-- Emails not yet answered and younger than 168 hours: no response rate counts them (N8).
-- grain: (record_type, record_id). inputs: last_questions, answered. parameters: $as_of, and $record_type, $first_id,
--   $end_id (the records to do, as in record_slices).
with
young as (
    select record_id, by_us, question
    from last_questions
    where sent_at > $as_of::timestamptz - interval 168 hours
      and record_type = $record_type and record_id >= $first_id and record_id < $end_id
),

answered_young as (
    select record_id, question
    from answered
    where question_at > $as_of::timestamptz - interval 168 hours
),

waiting as (
    select young.*
    from young
    anti join answered_young
        on answered_young.record_id = young.record_id and answered_young.question = young.question
)

select
    $record_type::varchar as record_type,
    record_id,
    count(*) filter (where by_us) as sent_waiting,
    count(*) filter (where not by_us) as received_waiting
from waiting
group by record_id
