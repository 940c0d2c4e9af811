-- Stored as `email_pairs` and `meeting_pairs`: what is between one of us and a contact, an account or another of us.
-- `emails`, `meetings` and `last_at` count everything; the rest, `accepted` (meetings both accepted) included, only what
-- makes a tie (K2: not above the largest audience). Sums: weight x 0.5 ^ (age / half-life), age at the end of the month,
-- in units of 2^-40 as whole numbers, so that no order of summing changes them; one factor ages them on to any later
-- instant. `days_…` sums days with contact by the age of each day's last (domain/ties.py); a day with emails and
-- meetings is in both files, shared_days tells of it. `month_marks`: bit (months since year 0) mod 60 for each month
-- with contact.
-- grain: (record_type, record_id, user_id). inputs: pair_interactions, labels, persons.
-- parameters: $month_end, $short_days, $medium_days, $long_days.
with
aged as (
    select *, (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 as age
    from pair_interactions
),

parts as (
    select
        pair,
        is_meeting,
        is_outward and is_tie as is_sent,
        not is_outward and not is_meeting and is_tie as is_received,
        is_meeting and is_tie as is_met,
        is_accepted and is_tie as is_accepted,
        happened_at,
        case when is_tie then happened_at end as tie_at,
        round(weight * pow(0.5, age / $short_days))::bigint as short,
        round(weight * pow(0.5, age / $medium_days))::bigint as medium,
        round(weight * pow(0.5, age / $long_days))::bigint as long
    from aged
),

summed as (
    select
        pair,
        count(*) filter (where not is_meeting) as emails,
        count(*) filter (where is_meeting) as meetings,
        count(*) filter (where is_accepted) as accepted,
        count(*) filter (where is_sent) as emails_sent,
        count(*) filter (where is_received) as emails_received,
        max(happened_at) as last_at,
        min(tie_at) as tie_first_at,
        coalesce(sum_no_overflow(short) filter (where is_sent), 0)::bigint as outward_short,
        coalesce(sum_no_overflow(medium) filter (where is_sent), 0)::bigint as outward_medium,
        coalesce(sum_no_overflow(long) filter (where is_sent), 0)::bigint as outward_long,
        coalesce(sum_no_overflow(short) filter (where is_received), 0)::bigint as inward_short,
        coalesce(sum_no_overflow(medium) filter (where is_received), 0)::bigint as inward_medium,
        coalesce(sum_no_overflow(long) filter (where is_received), 0)::bigint as inward_long,
        coalesce(sum_no_overflow(short) filter (where is_met), 0)::bigint as meetings_short,
        coalesce(sum_no_overflow(medium) filter (where is_met), 0)::bigint as meetings_medium,
        coalesce(sum_no_overflow(long) filter (where is_met), 0)::bigint as meetings_long
    from parts
    group by pair
),

last_of_days as (
    select
        pair,
        max(happened_at) as last_at,
        (epoch_us($month_end::timestamptz) - epoch_us(max(happened_at))) / 86_400_000_000 as age,
        date '1970-01-01' + (epoch_us(max(happened_at)) // 86_400_000_000)::integer as day
    from pair_interactions
    where is_tie
    group by pair, epoch_us(happened_at) // 86_400_000_000
),

days as (
    select
        pair,
        max(last_at) as tie_last_at,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint)::bigint as days_short,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint)::bigint as days_medium,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint)::bigint as days_long,
        bit_or(1::bigint << ((year(day) * 12 + month(day)) % 60)) as month_marks
    from last_of_days
    group by pair
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    summed.* exclude (pair),
    days.tie_last_at,
    coalesce(days.days_short, 0) as days_short,
    coalesce(days.days_medium, 0) as days_medium,
    coalesce(days.days_long, 0) as days_long,
    days.month_marks
from summed
left join days on days.pair = summed.pair
inner join labels
    on labels.record_type = case summed.pair >> 60 when 1 then 'contact' when 2 then 'account' else 'colleague' end
    and labels.record = ((summed.pair >> 30) & 1_073_741_823)::integer
inner join persons on persons.person = (summed.pair & 1_073_741_823)::integer
order by summed.pair
