-- Stored: days outside the month on which emails of the month were sent (N4: up to 30 days before they were received, or a
-- day after): one by one, because the pair may have had contact on that day in that month too.
-- grain: (record_type, record_key, user_key, day). inputs: pair_interactions (of emails), labels, persons.
-- parameters: $month_start, $month_end.
with
strays as (
    select distinct pair, date '1970-01-01' + (micros // 86_400_000_000)::integer as day
    from pair_interactions
    where is_tie and (micros < epoch_us($month_start::timestamptz) or micros >= epoch_us($month_end::timestamptz))
)

select labels.record_type, labels.record_key, persons.key as user_key, strays.day
from strays
inner join labels on labels.record = (strays.pair >> 31)::integer
inner join persons on persons.person = (strays.pair & 2_147_483_647)::integer
order by strays.pair, strays.day
