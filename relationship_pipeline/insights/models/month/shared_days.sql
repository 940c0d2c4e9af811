-- Stored: the days on which a pair had both emails and meetings, which count as one day with contact (domain/ties.py).
-- Single meetings, so that a window may end between two of them. `email_at`: the day's last email.
-- grain: (record_type, record_id, user_id, meeting_at). inputs: pair_days (of emails), met, labels, persons.
-- parameters: $month_end.
with
shared as (
    select met.pair, pair_days.last_micros, met.micros
    from pair_days
    inner join met on met.pair = pair_days.pair and met.micros // 86_400_000_000 = pair_days.last_micros // 86_400_000_000
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    make_timestamptz(shared.last_micros) as email_at,
    make_timestamptz(shared.micros) as meeting_at
from shared
inner join labels on labels.record = (shared.pair >> 31)::integer
inner join persons on persons.person = (shared.pair & 2_147_483_647)::integer
order by shared.pair, shared.micros
