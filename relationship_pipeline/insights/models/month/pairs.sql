-- Stored as `email_pairs` and `meeting_pairs`: what is between one of us and a contact, an account or another of us.
-- `emails`, `meetings` and `last_at` count everything; the rest, `accepted` (meetings both accepted) included, only what
-- makes a tie (K2). Sums are those of email_pair_sums, meeting_pair_sums and pair_day_sums; a day with emails and meetings
-- is in both files, shared_days tells of it.
-- grain: (record_type, record_id, user_id). inputs: pair_sums, pair_day_sums, labels, persons. parameters: $month_end.
select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    pair_sums.* exclude (pair, last_micros, tie_first_micros),
    make_timestamptz(pair_sums.last_micros) as last_at,
    make_timestamptz(pair_sums.tie_first_micros) as tie_first_at,
    make_timestamptz(pair_day_sums.tie_last_micros) as tie_last_at,
    coalesce(pair_day_sums.days_short, 0) as days_short,
    coalesce(pair_day_sums.days_medium, 0) as days_medium,
    coalesce(pair_day_sums.days_long, 0) as days_long,
    pair_day_sums.month_marks
from pair_sums
left join pair_day_sums on pair_day_sums.pair = pair_sums.pair
inner join labels on labels.record = (pair_sums.pair >> 31)::integer
inner join persons on persons.person = (pair_sums.pair & 2_147_483_647)::integer
order by pair_sums.pair
