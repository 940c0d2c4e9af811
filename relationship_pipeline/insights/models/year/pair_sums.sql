-- What is between one of us and a contact, account or colleague over the window, aged to as_of (domain/ties.py).
-- Ageing rounds to whole 2^-40 again, so that the sum over months does not depend on its order.
-- A day with emails and meetings counts once, by its last: the earlier of both is taken off again.
-- sum_no_overflow: DuckDB's sum of a bigint is a hugeint, at nearly twice the cost; 2^63 is a year of 23,000 emails of one
-- pair a day.
-- grain: (record_type, record_id, user_id). inputs: email_pairs, meeting_pairs, shared_days.
-- parameters: $record_type, $first_id, $end_id (the records to do: sums of a slice fit the processor's cache, those of a
--   large year not even the memory), $since, $as_of, $short_days, $medium_days, $long_days.
with
last_of_both as (
    select record_type, record_id, user_id, month_end, email_at, max(meeting_at) as meeting_at
    from shared_days
    where meeting_at >= $since and meeting_at < $as_of
      and record_type = $record_type and record_id >= $first_id and record_id < $end_id
    group by record_type, record_id, user_id, month_end, email_at
),

counted_twice as (
    select
        *,
        (epoch_us(month_end) - epoch_us(least(email_at, meeting_at))) / 86_400_000_000 as age
    from last_of_both
),

parts as (
    select *
    from email_pairs
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
    union all by name
    select *
    from meeting_pairs
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
    union all by name
    select
        record_type,
        record_id,
        user_id,
        month_end,
        -round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint as days_short,
        -round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint as days_medium,
        -round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint as days_long
    from counted_twice
),

ages as (
    select
        month_end,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $short_days) as short_factor,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $medium_days) as medium_factor,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $long_days) as long_factor
    from (
        select date_trunc('month', $since::timestamptz) + to_months(month::integer) as month_end
        from range(1, 14) as months(month)
    )
)

select
    $record_type::varchar as record_type,
    parts.record_id,
    parts.user_id,
    coalesce(sum_no_overflow(parts.emails), 0)::bigint as emails,
    coalesce(sum_no_overflow(parts.meetings), 0)::bigint as meetings,
    coalesce(sum_no_overflow(parts.accepted), 0)::bigint as accepted,
    coalesce(sum_no_overflow(parts.emails_sent), 0)::bigint as emails_sent,
    coalesce(sum_no_overflow(parts.emails_received), 0)::bigint as emails_received,
    min(parts.tie_first_at) as first_at,
    max(parts.tie_last_at) as last_at,
    bit_count(bit_or(parts.month_marks)) as months,
    sum_no_overflow(round(parts.outward_short * ages.short_factor)::bigint) / 1_099_511_627_776 as outward_short,
    sum_no_overflow(round(parts.outward_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as outward_medium,
    sum_no_overflow(round(parts.outward_long * ages.long_factor)::bigint) / 1_099_511_627_776 as outward_long,
    sum_no_overflow(round(parts.inward_short * ages.short_factor)::bigint) / 1_099_511_627_776 as inward_short,
    sum_no_overflow(round(parts.inward_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as inward_medium,
    sum_no_overflow(round(parts.inward_long * ages.long_factor)::bigint) / 1_099_511_627_776 as inward_long,
    sum_no_overflow(round(parts.meetings_short * ages.short_factor)::bigint) / 1_099_511_627_776 as meetings_short,
    sum_no_overflow(round(parts.meetings_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as meetings_medium,
    sum_no_overflow(round(parts.meetings_long * ages.long_factor)::bigint) / 1_099_511_627_776 as meetings_long,
    sum_no_overflow(round(parts.days_short * ages.short_factor)::bigint) / 1_099_511_627_776 as days_short,
    sum_no_overflow(round(parts.days_medium * ages.medium_factor)::bigint) / 1_099_511_627_776 as days_medium,
    sum_no_overflow(round(parts.days_long * ages.long_factor)::bigint) / 1_099_511_627_776 as days_long
from parts
inner join ages on ages.month_end = parts.month_end
group by parts.record_id, parts.user_id
