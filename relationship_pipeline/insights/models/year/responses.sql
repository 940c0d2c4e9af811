-- Answers by side (N8): numbers and hours.
-- grain: (record_type, record_id). inputs: answered.
select
    record_type,
    record_id,
    count(*) filter (where by_us) as answered_by_us,
    count(*) filter (where not by_us) as answered_by_them,
    count(*) filter (where by_us and is_reply) as replies_by_us,
    count(*) filter (where not by_us and is_reply) as replies_by_them,
    median(epoch_us(answer_at) - epoch_us(question_at)) filter (where by_us) / 3_600_000_000
        as median_response_hours_by_us,
    median(epoch_us(answer_at) - epoch_us(question_at)) filter (where not by_us) / 3_600_000_000
        as median_response_hours_by_them,
    sum(epoch_us(answer_at) - epoch_us(question_at)) filter (where by_us)::bigint as response_micros_by_us,
    sum(epoch_us(answer_at) - epoch_us(question_at)) filter (where not by_us)::bigint as response_micros_by_them
from answered
group by record_type, record_id
