-- What emails make of a pair. `emails` and `last_micros` count everything; the rest only what makes a tie (K2: not above the
-- largest audience). Sums: weight x 0.5 ^ (age / half-life), age at the end of the month, in units of 2^-40 as whole
-- numbers, so that no order of summing changes them; one factor ages them on to any later instant. Multiplied by 0 or 1,
-- not filtered: half the time. `day_marks`: bit (day of the month - 1) for each day of the month with contact; null without.
-- grain: pair. inputs: pair_interactions (of emails).
-- parameters: $month_start, $month_end, $short_days, $medium_days, $long_days.
with
aged as (
    select
        pair,
        micros,
        is_tie,
        (is_tie and is_outward)::bigint as sent,
        (is_tie and not is_outward)::bigint as received,
        weight,
        (epoch_us($month_end::timestamptz) - micros) / 86_400_000_000 as age
    from pair_interactions
),

parts as (
    select
        pair,
        micros,
        case when is_tie then micros end as tie_micros,
        case
            when is_tie and micros >= epoch_us($month_start::timestamptz) and micros < epoch_us($month_end::timestamptz)
                then 1::bigint << ((micros - epoch_us($month_start::timestamptz)) // 86_400_000_000)
        end as day_mark,
        sent,
        received,
        round(weight * pow(0.5, age / $short_days))::bigint as short,
        round(weight * pow(0.5, age / $medium_days))::bigint as medium,
        round(weight * pow(0.5, age / $long_days))::bigint as long
    from aged
)

select
    pair,
    count(*) as emails,
    sum_no_overflow(sent)::bigint as emails_sent,
    sum_no_overflow(received)::bigint as emails_received,
    max(micros) as last_micros,
    min(tie_micros) as tie_first_micros,
    max(tie_micros) as tie_last_micros,
    bit_or(day_mark) as day_marks,
    sum_no_overflow(sent * short)::bigint as outward_short,
    sum_no_overflow(sent * medium)::bigint as outward_medium,
    sum_no_overflow(sent * long)::bigint as outward_long,
    sum_no_overflow(received * short)::bigint as inward_short,
    sum_no_overflow(received * medium)::bigint as inward_medium,
    sum_no_overflow(received * long)::bigint as inward_long
from parts
group by pair
