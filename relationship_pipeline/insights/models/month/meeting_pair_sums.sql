-- What meetings make of a pair: `meetings` and `last_micros` count everything; the rest only what makes a tie, as
-- email_pair_sums has it.
-- grain: pair. inputs: pair_interactions (of meetings).
-- parameters: $month_start, $month_end, $short_days, $medium_days, $long_days.
with
aged as (
    select
        pair,
        micros,
        is_tie,
        is_tie::bigint as met,
        (is_tie and is_accepted)::bigint as accepted,
        weight,
        (epoch_us($month_end::timestamptz) - micros) / 86_400_000_000 as age
    from pair_interactions
),

parts as (
    select
        pair,
        micros,
        case when is_tie then micros end as tie_micros,
        case when is_tie then 1::bigint << ((micros - epoch_us($month_start::timestamptz)) // 86_400_000_000) end
            as day_mark,
        met,
        accepted,
        round(weight * pow(0.5, age / $short_days))::bigint as short,
        round(weight * pow(0.5, age / $medium_days))::bigint as medium,
        round(weight * pow(0.5, age / $long_days))::bigint as long
    from aged
)

select
    pair,
    count(*) as meetings,
    sum_no_overflow(accepted)::bigint as accepted,
    max(micros) as last_micros,
    min(tie_micros) as tie_first_micros,
    max(tie_micros) as tie_last_micros,
    bit_or(day_mark) as day_marks,
    sum_no_overflow(met * short)::bigint as meetings_short,
    sum_no_overflow(met * medium)::bigint as meetings_medium,
    sum_no_overflow(met * long)::bigint as meetings_long
from parts
group by pair
