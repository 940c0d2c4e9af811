-- Stored as `email_pairs` and `meeting_pairs`: what is between one of us and a contact, an account or another of us.
-- `emails`, `meetings` and `last_at` count everything; the rest, `accepted` (meetings both accepted) included, only what
-- makes a tie (K2: not above the largest audience). Sums: weight x 0.5 ^ (age / half-life), age at the end of the month, in units of
-- 2^-40 as whole numbers, so that no order of summing changes them; one factor ages them on to any later instant.
-- `days_…` sums days with contact by the age of each day's last (domain/ties.py); `day_lasts` are these, of
-- pairs that also meet, to be joined with the other kind's. `month_marks`: bit (months since year 0) mod 60 for each month with contact.
-- Steps group by one number for type, record and colleague, and emails by direction first: half the time of grouping by
-- three columns with all sums at once.
-- grain: (record_type, record_id, user_id). inputs: interactions_of_pairs, met_pairs, labels, persons.
-- parameters: $month_end, $short_days, $medium_days, $long_days, $full_audience.
with
keyed as (
    select
        ((case record_type when 'contact' then 1 when 'account' then 2 else 3 end)::bigint << 60)
            | (record::bigint << 30) | colleague as pair,
        kind,
        happened_at,
        is_tie,
        is_accepted,
        case when audience > $full_audience then $full_audience / audience else 1 end * 1_099_511_627_776 as weight
    from interactions_of_pairs
),

discounted as (
    select
        * exclude (weight),
        case when is_tie then round(weight * pow(0.5,
            (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 / $short_days))::bigint
            else 0 end as short,
        case when is_tie then round(weight * pow(0.5,
            (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 / $medium_days))::bigint
            else 0 end as medium,
        case when is_tie then round(weight * pow(0.5,
            (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 / $long_days))::bigint
            else 0 end as long
    from keyed
),

kinds as (
    select
        pair,
        kind,
        count(*) as interactions,
        count(*) filter (where is_tie) as ties,
        count(*) filter (where is_accepted and is_tie) as accepted,
        max(happened_at) as last_at,
        min(happened_at) filter (where is_tie) as tie_first_at,
        sum_no_overflow(short)::bigint as short,
        sum_no_overflow(medium)::bigint as medium,
        sum_no_overflow(long)::bigint as long
    from discounted
    group by pair, kind
),

summed as (
    select
        pair,
        coalesce(sum(interactions) filter (where kind <> 'meeting'), 0)::bigint as emails,
        coalesce(sum(interactions) filter (where kind = 'meeting'), 0)::bigint as meetings,
        sum(accepted)::bigint as accepted,
        coalesce(sum(ties) filter (where kind = 'outward'), 0)::bigint as emails_sent,
        coalesce(sum(ties) filter (where kind = 'inward'), 0)::bigint as emails_received,
        max(last_at) as last_at,
        min(tie_first_at) as tie_first_at,
        coalesce(sum(short) filter (where kind = 'outward'), 0)::bigint as outward_short,
        coalesce(sum(medium) filter (where kind = 'outward'), 0)::bigint as outward_medium,
        coalesce(sum(long) filter (where kind = 'outward'), 0)::bigint as outward_long,
        coalesce(sum(short) filter (where kind = 'inward'), 0)::bigint as inward_short,
        coalesce(sum(medium) filter (where kind = 'inward'), 0)::bigint as inward_medium,
        coalesce(sum(long) filter (where kind = 'inward'), 0)::bigint as inward_long,
        coalesce(sum(short) filter (where kind = 'meeting'), 0)::bigint as meetings_short,
        coalesce(sum(medium) filter (where kind = 'meeting'), 0)::bigint as meetings_medium,
        coalesce(sum(long) filter (where kind = 'meeting'), 0)::bigint as meetings_long
    from kinds
    group by pair
),

last_of_days as (
    select pair, max(happened_at) as last_at
    from keyed
    where is_tie
    group by pair, epoch_us(happened_at) // 86_400_000_000
),

aged_days as (
    select
        pair,
        last_at,
        (epoch_us($month_end::timestamptz) - epoch_us(last_at)) / 86_400_000_000 as age,
        date '1970-01-01' + (epoch_us(last_at) // 86_400_000_000)::integer as day
    from last_of_days
),

days as (
    select
        pair,
        max(last_at) as tie_last_at,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint)::bigint as days_short,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint)::bigint as days_medium,
        sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint)::bigint as days_long,
        bit_or(1::bigint << ((year(day) * 12 + month(day)) % 60)) as month_marks
    from aged_days
    group by pair
),

met as (
    select
        ((case record_type when 'contact' then 1 when 'account' then 2 else 3 end)::bigint << 60)
            | (record::bigint << 30) | colleague as pair
    from met_pairs
),

met_days as (
    select pair, list(last_at) as day_lasts
    from last_of_days
    where pair in (select pair from met)
    group by pair
),

unpacked as (
    select
        summed.pair,
        case summed.pair >> 60 when 1 then 'contact' when 2 then 'account' else 'colleague' end as record_type,
        ((summed.pair >> 30) & 1_073_741_823)::integer as record,
        (summed.pair & 1_073_741_823)::integer as colleague,
        summed.* exclude (pair),
        days.* exclude (pair),
        met_days.day_lasts
    from summed
    left join days on days.pair = summed.pair
    left join met_days on met_days.pair = summed.pair
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    unpacked.* exclude (pair, record_type, record, colleague) replace (
        coalesce(unpacked.days_short, 0) as days_short,
        coalesce(unpacked.days_medium, 0) as days_medium,
        coalesce(unpacked.days_long, 0) as days_long,
        list_sort(unpacked.day_lasts) as day_lasts
    )
from unpacked
inner join labels on labels.record_type = unpacked.record_type and labels.record = unpacked.record
inner join persons on persons.person = unpacked.colleague
order by unpacked.pair
