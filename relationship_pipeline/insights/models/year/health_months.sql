-- What health needs of each month: sums, activity aged to the month's last day, answers by the month of their question.
-- What a sender's clock puts after as_of counts as of that day.
-- grain: (record_id, month, part).
-- inputs: health_days, answered, young_questions, health_instants(on_day, is_now), health_constants(k).
-- parameters: $as_of, and $record_type, $first_id, $end_id (the records to do, as in record_slices).
with
days as (
    select
        health_days.* exclude (day),
        least(health_days.day, health_instants.on_day) as day
    from health_days
    inner join health_instants on health_instants.is_now
),

active as (
    select
        record_id,
        date_trunc('month', day)::date as month,
        sum_no_overflow(emails_sent) as emails_sent,
        sum_no_overflow(emails_received) as emails_received,
        sum_no_overflow(meetings) as meetings,
        sum_no_overflow(calls_made) as calls_made,
        sum_no_overflow(calls_received) as calls_received,
        sum_no_overflow(sent_answerable) as sent_answerable,
        sum_no_overflow(received_answerable) as received_answerable,
        sum(round(1_099_511_627_776
            * weighted * pow(0.5, date_diff('day', day, last_day(day)) / k.half_life_days))::bigint) as activity,
        max(day) as last_on
    from days, health_constants
    group by record_id, date_trunc('month', day)
),

answers as (
    select
        record_id,
        date_trunc('month', least(
            date '1970-01-01' + (epoch_us(question_at) // 86_400_000_000)::integer, health_instants.on_day
        ))::date as month,
        count(*) filter (where by_us) as answered_by_us,
        count(*) filter (where not by_us) as answered_by_them,
        sum_no_overflow(epoch_us(answer_at) - epoch_us(question_at)) filter (where by_us) as micros_by_us,
        sum_no_overflow(epoch_us(answer_at) - epoch_us(question_at)) filter (where not by_us) as micros_by_them
    from answered
    inner join health_instants on health_instants.is_now
    group by 1, 2
),

not_due as (
    select
        record_id,
        date_trunc('month', $as_of::timestamptz - interval 1 microsecond)::date as month,
        -sent_waiting as sent_answerable,
        -received_waiting as received_answerable
    from young_questions
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
)

select * from active
union all by name
select * from answers
union all by name
select * from not_due
