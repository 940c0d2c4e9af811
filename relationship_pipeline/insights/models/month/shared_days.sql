-- Stored: the days on which a pair had both emails and meetings, which count as one day with contact (domain/ties.py).
-- Single meetings, so that a window may end between two of them.
-- grain: (record_type, record_key, user_key, meeting_at). inputs: pair_sums (of emails), met, labels, persons.
-- parameters: $month_start, $month_end.
with
shared as (
    select met.pair, met.micros
    from pair_sums
    inner join met on met.pair = pair_sums.pair
    where (pair_sums.day_marks >> ((met.micros - epoch_us($month_start::timestamptz)) // 86_400_000_000)) & 1 = 1
)

select
    labels.record_type,
    labels.record_key,
    persons.key as user_key,
    $month_end::timestamptz as month_end,
    make_timestamptz(shared.micros) as meeting_at
from shared
inner join labels on labels.record = (shared.pair >> 31)::integer
inner join persons on persons.person = (shared.pair & 2_147_483_647)::integer
order by shared.pair, shared.micros
