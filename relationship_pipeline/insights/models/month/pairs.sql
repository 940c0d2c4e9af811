-- Stored as `email_pairs` and `meeting_pairs`: what is between one of us and a contact, an account or another of us.
-- `emails`, `meetings`, `accepted` (both sides did) and `last_at` count everything; the rest only what makes a tie (K2:
-- not above the largest audience). Sums: weight x 0.5 ^ (age / half-life), age at the end of the month, in units of
-- 2^-40 as whole numbers, so that no order of summing changes them; one factor ages them on to any later instant.
-- `days_…` sums days with contact by the age of each day's last (domain/ties.py); `day_lasts` are these, to be joined
-- with the other kind's. `month_marks`: bit (months since year 0) mod 60 for each month with contact.
-- grain: (record_type, record_id, user_id). inputs: interactions_of_pairs, labels, persons.
-- parameters: $month_end, $short_days, $medium_days, $long_days, $full_audience.
with
aged as (
    select
        record_type,
        record,
        colleague,
        kind,
        happened_at,
        is_tie,
        is_accepted,
        (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 as age,
        case when not is_tie then 0 when audience > $full_audience then $full_audience / audience else 1 end
            * 1_099_511_627_776 as weight
    from interactions_of_pairs
),

discounted as (
    select
        * exclude (age, weight),
        round(weight * pow(0.5, age / $short_days))::bigint as short,
        round(weight * pow(0.5, age / $medium_days))::bigint as medium,
        round(weight * pow(0.5, age / $long_days))::bigint as long
    from aged
),

summed as (
    select
        record_type,
        record,
        colleague,
        count(*) filter (where kind <> 'meeting') as emails,
        count(*) filter (where kind = 'meeting') as meetings,
        count(*) filter (where is_accepted) as accepted,
        count(*) filter (where kind = 'outward' and is_tie) as emails_sent,
        count(*) filter (where kind = 'inward' and is_tie) as emails_received,
        max(happened_at) as last_at,
        min(happened_at) filter (where is_tie) as tie_first_at,
        max(happened_at) filter (where is_tie) as tie_last_at,
        sum_no_overflow(case when kind = 'outward' then short else 0 end)::bigint as outward_short,
        sum_no_overflow(case when kind = 'outward' then medium else 0 end)::bigint as outward_medium,
        sum_no_overflow(case when kind = 'outward' then long else 0 end)::bigint as outward_long,
        sum_no_overflow(case when kind = 'inward' then short else 0 end)::bigint as inward_short,
        sum_no_overflow(case when kind = 'inward' then medium else 0 end)::bigint as inward_medium,
        sum_no_overflow(case when kind = 'inward' then long else 0 end)::bigint as inward_long,
        sum_no_overflow(case when kind = 'meeting' then short else 0 end)::bigint as meetings_short,
        sum_no_overflow(case when kind = 'meeting' then medium else 0 end)::bigint as meetings_medium,
        sum_no_overflow(case when kind = 'meeting' then long else 0 end)::bigint as meetings_long
    from discounted
    group by record_type, record, colleague
),

last_of_days as (
    select
        record_type,
        record,
        colleague,
        max(happened_at) as last_at,
        (epoch_us($month_end::timestamptz) - epoch_us(max(happened_at))) / 86_400_000_000 as age
    from interactions_of_pairs
    where is_tie
    group by record_type, record, colleague, happened_at::date
),

days as (
    select
        record_type,
        record,
        colleague,
        sum(round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint)::bigint as days_short,
        sum(round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint)::bigint as days_medium,
        sum(round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint)::bigint as days_long,
        list(last_at) as day_lasts,
        bit_or(1::bigint << ((year(last_at) * 12 + month(last_at)) % 60)) as month_marks
    from last_of_days
    group by record_type, record, colleague
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    summed.* exclude (record_type, record, colleague),
    coalesce(days.days_short, 0) as days_short,
    coalesce(days.days_medium, 0) as days_medium,
    coalesce(days.days_long, 0) as days_long,
    list_sort(days.day_lasts) as day_lasts,
    days.month_marks
from summed
inner join labels on labels.record_type = summed.record_type and labels.record = summed.record
inner join persons on persons.person = summed.colleague
left join days
    on days.record_type = summed.record_type and days.record = summed.record and days.colleague = summed.colleague
order by labels.record_type, labels.record_id, persons.name
