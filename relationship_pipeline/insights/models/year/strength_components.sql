-- Published: whole points of each part of the strengths in who_knows_whom; they sum to the strength (largest remainder,
-- equal remainders to the earlier part; domain/ties.points).
-- grain: (contact_email, colleague_email, component). inputs: shown_ties, tie_constants(k). parameters: $as_of.
-- The parts are a to e, in their order.
with
shares as (
    select
        record_id as contact_email,
        colleague_email,
        strength,
        case when score > 0 then strength * last_contact_part / score else strength end as a,
        case when score > 0 then strength * short_part / score else 0 end as b,
        case when score > 0 then strength * medium_part / score else 0 end as c,
        case when score > 0 then strength * long_part / score else 0 end as d,
        case when score > 0 then strength * months_part / score else 0 end as e
    from shown_ties
    where record_type = 'contact'
),

remainders as (
    select
        *,
        strength - floor(a) - floor(b) - floor(c) - floor(d) - floor(e) as missing,
        a - floor(a) as ra,
        b - floor(b) as rb,
        c - floor(c) as rc,
        d - floor(d) as rd,
        e - floor(e) as re
    from shares
),

parts as (
    select
        contact_email,
        colleague_email,
        unnest(
            [
                {
                    'component': 'last_contact',
                    'points': floor(a) + ((rb > ra)::int + (rc > ra)::int + (rd > ra)::int + (re > ra)::int < missing)::int
                },
                {
                    'component': format('half_life_{:g}', k.half_lives_days[1]),
                    'points': floor(b) + ((ra >= rb)::int + (rc > rb)::int + (rd > rb)::int + (re > rb)::int < missing)::int
                },
                {
                    'component': format('half_life_{:g}', k.half_lives_days[2]),
                    'points': floor(c)
                        + ((ra >= rc)::int + (rb >= rc)::int + (rd > rc)::int + (re > rc)::int < missing)::int
                },
                {
                    'component': format('half_life_{:g}', k.half_lives_days[3]),
                    'points': floor(d)
                        + ((ra >= rd)::int + (rb >= rd)::int + (rc >= rd)::int + (re > rd)::int < missing)::int
                },
                {
                    'component': 'months',
                    'points': floor(e)
                        + ((ra >= re)::int + (rb >= re)::int + (rc >= re)::int + (rd >= re)::int < missing)::int
                }
            ]
        ) as part
    from remainders, tie_constants
)

select
    contact_email,
    colleague_email,
    part.component as component,
    part.points::integer as points,
    $as_of::timestamptz as as_of
from parts
