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
        *,
        (epoch_us($month_end::timestamptz) - epoch_us(happened_at)) / 86_400_000_000 as age,
        case when audience > $full_audience then $full_audience / audience else 1 end * 1_099_511_627_776 as weight
    from interactions_of_pairs
),

summed as (
    select
        record_type,
        record,
        colleague,
        happened_at::date as day,
        count(*) filter (where kind <> 'meeting') as emails,
        count(*) filter (where kind = 'meeting') as meetings,
        count(*) filter (where is_accepted) as accepted,
        count(*) filter (where kind = 'outward' and is_tie) as emails_sent,
        count(*) filter (where kind = 'inward' and is_tie) as emails_received,
        max(happened_at) as last_at,
        min(happened_at) filter (where is_tie) as tie_first_at,
        max(happened_at) filter (where is_tie) as tie_last_at,
        min(age) filter (where is_tie) as tie_age,
        sum(round(weight * pow(0.5, age / $short_days))::bigint) filter (where kind = 'outward' and is_tie)
            as outward_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint) filter (where kind = 'outward' and is_tie)
            as outward_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint) filter (where kind = 'outward' and is_tie)
            as outward_long,
        sum(round(weight * pow(0.5, age / $short_days))::bigint) filter (where kind = 'inward' and is_tie)
            as inward_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint) filter (where kind = 'inward' and is_tie)
            as inward_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint) filter (where kind = 'inward' and is_tie)
            as inward_long,
        sum(round(weight * pow(0.5, age / $short_days))::bigint) filter (where kind = 'meeting' and is_tie)
            as meetings_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint) filter (where kind = 'meeting' and is_tie)
            as meetings_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint) filter (where kind = 'meeting' and is_tie)
            as meetings_long
    from aged
    group by record_type, record, colleague, day
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    sum(summed.emails)::bigint as emails,
    sum(summed.meetings)::bigint as meetings,
    sum(summed.accepted)::bigint as accepted,
    sum(summed.emails_sent)::bigint as emails_sent,
    sum(summed.emails_received)::bigint as emails_received,
    max(summed.last_at) as last_at,
    min(summed.tie_first_at) as tie_first_at,
    max(summed.tie_last_at) as tie_last_at,
    coalesce(sum(summed.outward_short), 0)::bigint as outward_short,
    coalesce(sum(summed.outward_medium), 0)::bigint as outward_medium,
    coalesce(sum(summed.outward_long), 0)::bigint as outward_long,
    coalesce(sum(summed.inward_short), 0)::bigint as inward_short,
    coalesce(sum(summed.inward_medium), 0)::bigint as inward_medium,
    coalesce(sum(summed.inward_long), 0)::bigint as inward_long,
    coalesce(sum(summed.meetings_short), 0)::bigint as meetings_short,
    coalesce(sum(summed.meetings_medium), 0)::bigint as meetings_medium,
    coalesce(sum(summed.meetings_long), 0)::bigint as meetings_long,
    coalesce(sum(round(1_099_511_627_776 * pow(0.5, summed.tie_age / $short_days))::bigint), 0)::bigint as days_short,
    coalesce(sum(round(1_099_511_627_776 * pow(0.5, summed.tie_age / $medium_days))::bigint), 0)::bigint as days_medium,
    coalesce(sum(round(1_099_511_627_776 * pow(0.5, summed.tie_age / $long_days))::bigint), 0)::bigint as days_long,
    list(summed.tie_last_at order by summed.day) filter (where summed.tie_last_at is not null) as day_lasts,
    bit_or((1::bigint << ((year(summed.day) * 12 + month(summed.day)) % 60)))
        filter (where summed.tie_last_at is not null) as month_marks
from summed
inner join labels on labels.record_type = summed.record_type and labels.record = summed.record
inner join persons on persons.person = summed.colleague
group by labels.record_type, labels.record_id, persons.name
order by labels.record_type, labels.record_id, persons.name
