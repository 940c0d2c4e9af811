-- Days with contact between a pair, by the age of each day's last (domain/ties.py), as sums in units of 2^-40.
-- `month_marks`: bit (months since year 0) mod 60 for each month with contact.
-- grain: pair. inputs: pair_days. parameters: $month_end, $short_days, $medium_days, $long_days.
with
aged as (
    select
        pair,
        last_micros,
        (epoch_us($month_end::timestamptz) - last_micros) / 86_400_000_000 as age,
        date '1970-01-01' + (last_micros // 86_400_000_000)::integer as day
    from pair_days
)

select
    pair,
    max(last_micros) as tie_last_micros,
    sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint)::bigint as days_short,
    sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint)::bigint as days_medium,
    sum_no_overflow(round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint)::bigint as days_long,
    bit_or(1::bigint << ((year(day) * 12 + month(day)) % 60)) as month_marks
from aged
group by pair
