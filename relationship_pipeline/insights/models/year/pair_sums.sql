-- What is between one of us and a contact, account or colleague over the window, aged to as_of (domain/ties.py), where a
-- tie may be shown (K2): one of us wrote, or both accepted a meeting; of two of us either wrote.
-- Ageing rounds to whole 2^-40 again, so that the sum over months does not depend on its order.
-- `ours`, `theirs`: emails of each direction, and meetings, which are both, for what a meeting stands for.
-- A day with emails and meetings counts once: it is taken off again. So do days that only emails received in another month
-- tell of.
-- sum_no_overflow: DuckDB's sum of a bigint is a hugeint, at nearly twice the cost; 2^63 is a year of 23,000 emails of one
-- pair a day. Counts are summed two in one number, the second from bit 31 on, for each sum costs a twentieth of all.
-- grain: (record_type, record_key, user_key). inputs: email_pairs, meeting_pairs, shared_days,
--   lone_days.
-- parameters: $record_type, $first_key, $last_key (the records to do: sums of a slice fit the processor's cache, those of a
--   large year not even the memory), $since, $as_of, $short_days, $medium_days, $long_days, $meeting (what one stands for).
with
counted_twice as (
    select distinct
        record_key,
        user_key,
        month_end,
        (epoch_us(month_end) - epoch_us(meeting_at) // 86_400_000_000 * 86_400_000_000) / 86_400_000_000 as age
    from shared_days
    where meeting_at >= $since and meeting_at < $as_of
      and record_type = $record_type and record_key between $first_key::ubigint and $last_key::ubigint
),

alone as (
    select
        record_key,
        user_key,
        (epoch_us($as_of::timestamptz) - epoch_us(day::timestamptz)) / 86_400_000_000 as age,
        1::bigint << ((year(day) * 12 + month(day)) % 60) as month_marks
    from lone_days
    where record_type = $record_type and record_key between $first_key::ubigint and $last_key::ubigint
),

ages as (
    select
        month_end,
        1::bigint << ((year(month_start) * 12 + month(month_start)) % 60) as month_mark,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $short_days) as short,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $medium_days) as medium,
        pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(month_end)) / 86_400_000_000 / $long_days) as long
    from (
        select
            date_trunc('month', $since::timestamptz) + to_months(number::integer) as month_start,
            date_trunc('month', $since::timestamptz) + to_months(number::integer + 1) as month_end
        from range(13) as months(number)
    )
),

parts as (
    select
        record_key,
        user_key,
        emails_sent + (emails_received << 31) as emails,
        tie_first_at,
        tie_last_at,
        case when day_marks <> 0 then month_mark end as month_marks,
        round(outward_short * ages.short)::bigint as ours_short,
        round(outward_medium * ages.medium)::bigint as ours_medium,
        round(outward_long * ages.long)::bigint as ours_long,
        round(inward_short * ages.short)::bigint as theirs_short,
        round(inward_medium * ages.medium)::bigint as theirs_medium,
        round(inward_long * ages.long)::bigint as theirs_long,
        round(days_short * ages.short)::bigint as days_short,
        round(days_medium * ages.medium)::bigint as days_medium,
        round(days_long * ages.long)::bigint as days_long
    from email_pairs
    inner join ages on ages.month_end = email_pairs.month_end
    where record_type = $record_type and record_key between $first_key::ubigint and $last_key::ubigint
    union all by name
    select
        record_key,
        user_key,
        meetings + (accepted << 31) as meetings,
        tie_first_at,
        tie_last_at,
        case when day_marks <> 0 then month_mark end as month_marks,
        round($meeting * round(meetings_short * ages.short))::bigint as ours_short,
        round($meeting * round(meetings_medium * ages.medium))::bigint as ours_medium,
        round($meeting * round(meetings_long * ages.long))::bigint as ours_long,
        ours_short as theirs_short,
        ours_medium as theirs_medium,
        ours_long as theirs_long,
        round(days_short * ages.short)::bigint as days_short,
        round(days_medium * ages.medium)::bigint as days_medium,
        round(days_long * ages.long)::bigint as days_long
    from meeting_pairs
    inner join ages on ages.month_end = meeting_pairs.month_end
    where record_type = $record_type and record_key between $first_key::ubigint and $last_key::ubigint
    union all by name
    select
        record_key,
        user_key,
        round(-round(1_099_511_627_776 * pow(0.5, age / $short_days)) * ages.short)::bigint as days_short,
        round(-round(1_099_511_627_776 * pow(0.5, age / $medium_days)) * ages.medium)::bigint as days_medium,
        round(-round(1_099_511_627_776 * pow(0.5, age / $long_days)) * ages.long)::bigint as days_long
    from counted_twice
    inner join ages on ages.month_end = counted_twice.month_end
    union all by name
    select
        record_key,
        user_key,
        month_marks,
        round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint as days_short,
        round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint as days_medium,
        round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint as days_long
    from alone
)

select
    $record_type::varchar as record_type,
    record_key,
    user_key,
    coalesce(sum_no_overflow(parts.meetings), 0) & 2_147_483_647 as meetings,
    coalesce(sum_no_overflow(parts.meetings), 0) >> 31 as accepted,
    coalesce(sum_no_overflow(parts.emails), 0) & 2_147_483_647 as emails_sent,
    coalesce(sum_no_overflow(parts.emails), 0) >> 31 as emails_received,
    min(tie_first_at) as first_at,
    max(tie_last_at) as last_at,
    bit_count(bit_or(month_marks)) as months,
    coalesce(sum_no_overflow(ours_short), 0) / 1_099_511_627_776 as ours_short,
    coalesce(sum_no_overflow(ours_medium), 0) / 1_099_511_627_776 as ours_medium,
    coalesce(sum_no_overflow(ours_long), 0) / 1_099_511_627_776 as ours_long,
    coalesce(sum_no_overflow(theirs_short), 0) / 1_099_511_627_776 as theirs_short,
    coalesce(sum_no_overflow(theirs_medium), 0) / 1_099_511_627_776 as theirs_medium,
    coalesce(sum_no_overflow(theirs_long), 0) / 1_099_511_627_776 as theirs_long,
    coalesce(sum_no_overflow(days_short), 0) / 1_099_511_627_776 as days_short,
    coalesce(sum_no_overflow(days_medium), 0) / 1_099_511_627_776 as days_medium,
    coalesce(sum_no_overflow(days_long), 0) / 1_099_511_627_776 as days_long
from parts
group by record_key, user_key
having emails_sent > 0 or accepted > 0 or ($record_type = 'colleague' and emails_received > 0)
