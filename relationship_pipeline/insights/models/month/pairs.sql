-- Stored as `email_pairs` and `meeting_pairs`: what is between one of us and a contact, an account or another of us.
-- `emails`, `meetings` and `last_at` count everything; the rest, `accepted` (meetings both accepted) included, only what
-- makes a tie (K2). Sums are those of email_pair_sums and meeting_pair_sums; `days_…` those of the days in `day_marks`. A
-- day with emails and meetings is in both files, shared_days tells of it; days outside the month are in stray_days.
-- Record and colleague are told by key: half the time of grouping a year by texts.
-- grain: (record_type, record_key, user_key). inputs: pair_sums, day_weights, labels, persons. parameters: $month_end.
with
eights as (
    select
        *,
        (coalesce(day_marks, 0) & 255) + 1 as days_1,
        ((coalesce(day_marks, 0) >> 8) & 255) + 257 as days_9,
        ((coalesce(day_marks, 0) >> 16) & 255) + 513 as days_17,
        (coalesce(day_marks, 0) >> 24) + 769 as days_25
    from pair_sums
)

select
    labels.record_type,
    labels.record_key,
    persons.key as user_key,
    $month_end::timestamptz as month_end,
    eights.* exclude (pair, last_micros, tie_first_micros, tie_last_micros, days_1, days_9, days_17, days_25),
    make_timestamptz(last_micros) as last_at,
    make_timestamptz(tie_first_micros) as tie_first_at,
    make_timestamptz(tie_last_micros) as tie_last_at,
    short[days_1] + short[days_9] + short[days_17] + short[days_25] as days_short,
    medium[days_1] + medium[days_9] + medium[days_17] + medium[days_25] as days_medium,
    long[days_1] + long[days_9] + long[days_17] + long[days_25] as days_long
from eights
cross join day_weights
inner join labels on labels.record = (eights.pair >> 31)::integer
inner join persons on persons.person = (eights.pair & 2_147_483_647)::integer
order by labels.record_type, labels.record_key, persons.key
