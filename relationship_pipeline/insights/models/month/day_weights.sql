-- What days of the month weigh at its end (domain/ties.py), for eight days at a time: entry 256 x k + m + 1 of a list is
-- the sum of the days 8 x k + 1 + bit for the bits of m, in units of 2^-40.
-- grain: one row. parameters: $month_start, $month_end, $short_days, $medium_days, $long_days.
with
ages as (
    select
        eights.k * 256 + masks.m as entry,
        (masks.m >> bits.bit) & 1 as is_set,
        date_diff('day', $month_start::timestamptz, $month_end::timestamptz) - 8 * eights.k - bits.bit as age
    from range(4) as eights(k)
    cross join range(256) as masks(m)
    cross join range(8) as bits(bit)
),

sums as (
    select
        entry,
        sum(is_set * round(1_099_511_627_776 * pow(0.5, age / $short_days))::bigint)::bigint as short,
        sum(is_set * round(1_099_511_627_776 * pow(0.5, age / $medium_days))::bigint)::bigint as medium,
        sum(is_set * round(1_099_511_627_776 * pow(0.5, age / $long_days))::bigint)::bigint as long
    from ages
    group by entry
)

select list(short order by entry) as short, list(medium order by entry) as medium, list(long order by entry) as long
from sums
