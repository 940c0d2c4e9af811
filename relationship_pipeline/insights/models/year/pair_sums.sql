-- What is between one of us and a contact, account or colleague over the window, aged to as_of (domain/ties.py).
-- Ageing rounds to whole 2^-40 again, so that the sum over months does not depend on its order.
-- grain: (record_type, record_id, user_id). inputs: email_pairs, meeting_pairs.
-- parameters: $as_of, $short_days, $medium_days, $long_days.
with
shared as (
    select
        record_type,
        record_id,
        user_id,
        month_end,
        list_concat(email_pairs.day_lasts, meeting_pairs.day_lasts) as lasts
    from meeting_pairs
    inner join email_pairs using (record_type, record_id, user_id, month_end)
    where email_pairs.day_lasts is not null and meeting_pairs.day_lasts is not null
),

shared_days as (
    select record_type, record_id, user_id, month_end, max(last_at) as last_at
    from (select shared.* exclude (lasts), unnest(lasts) as last_at from shared)
    group by record_type, record_id, user_id, month_end, epoch_us(last_at) // 86_400_000_000
),

joined_days as (
    select
        record_type,
        record_id,
        user_id,
        month_end,
        sum(round(1_099_511_627_776
            * pow(0.5, (epoch_us(month_end) - epoch_us(last_at)) / 86_400_000_000 / $short_days))::bigint)::bigint
            as days_short,
        sum(round(1_099_511_627_776
            * pow(0.5, (epoch_us(month_end) - epoch_us(last_at)) / 86_400_000_000 / $medium_days))::bigint)::bigint
            as days_medium,
        sum(round(1_099_511_627_776
            * pow(0.5, (epoch_us(month_end) - epoch_us(last_at)) / 86_400_000_000 / $long_days))::bigint)::bigint
            as days_long
    from shared_days
    group by record_type, record_id, user_id, month_end
),

single as (
    select * from email_pairs
    union all by name
    select * from meeting_pairs
),

parts as (
    select
        single.* replace (
            case when shared.record_id is null then single.days_short else 0 end as days_short,
            case when shared.record_id is null then single.days_medium else 0 end as days_medium,
            case when shared.record_id is null then single.days_long else 0 end as days_long
        )
    from single
    left join shared using (record_type, record_id, user_id, month_end)
    union all by name
    select * from joined_days
),

ages as (
    select
        month_end,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $short_days) as short_factor,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $medium_days) as medium_factor,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $long_days) as long_factor
    from (select distinct month_end from parts)
)

select
    parts.record_type,
    parts.record_id,
    parts.user_id,
    coalesce(sum(parts.emails), 0)::bigint as emails,
    coalesce(sum(parts.meetings), 0)::bigint as meetings,
    coalesce(sum(parts.accepted), 0)::bigint as accepted,
    coalesce(sum(parts.emails_sent), 0)::bigint as emails_sent,
    coalesce(sum(parts.emails_received), 0)::bigint as emails_received,
    min(parts.tie_first_at) as first_at,
    max(parts.tie_last_at) as last_at,
    bit_count(bit_or(parts.month_marks)) as months,
    sum(round(parts.outward_short * ages.short_factor)::bigint) / 1_099_511_627_776 as outward_short,
    sum(round(parts.outward_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as outward_medium,
    sum(round(parts.outward_long * ages.long_factor)::bigint) / 1_099_511_627_776 as outward_long,
    sum(round(parts.inward_short * ages.short_factor)::bigint) / 1_099_511_627_776 as inward_short,
    sum(round(parts.inward_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as inward_medium,
    sum(round(parts.inward_long * ages.long_factor)::bigint) / 1_099_511_627_776 as inward_long,
    sum(round(parts.meetings_short * ages.short_factor)::bigint) / 1_099_511_627_776 as meetings_short,
    sum(round(parts.meetings_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as meetings_medium,
    sum(round(parts.meetings_long * ages.long_factor)::bigint) / 1_099_511_627_776 as meetings_long,
    sum(round(parts.days_short * ages.short_factor)::bigint) / 1_099_511_627_776 as days_short,
    sum(round(parts.days_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as days_medium,
    sum(round(parts.days_long * ages.long_factor)::bigint) / 1_099_511_627_776 as days_long
from parts
inner join ages on ages.month_end = parts.month_end
group by parts.record_type, parts.record_id, parts.user_id
