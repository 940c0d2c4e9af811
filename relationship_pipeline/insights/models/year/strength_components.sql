-- Published: whole points of each part of the strengths in who_knows_whom; they sum to the strength (largest remainder,
-- equal remainders to the earlier part; domain/ties.points). `…_less`: a share's floor less the share.
-- Sorted by the numbers of contact and colleague, which are not published.
-- grain: (contact_email, colleague_email, component). inputs: shown_ties, tie_constants(k). parameters: $as_of.
with
shares as (
    select
        contact_number,
        colleague_number,
        record_id as contact_email,
        colleague_email,
        strength,
        case when score > 0 then strength * last_contact_part / score else strength end as last_contact,
        case when score > 0 then strength * short_part / score else 0 end as short,
        case when score > 0 then strength * medium_part / score else 0 end as medium,
        case when score > 0 then strength * long_part / score else 0 end as long,
        case when score > 0 then strength * months_part / score else 0 end as months
    from shown_ties
    where record_type = 'contact'
),

floors as (
    select
        *,
        floor(last_contact) - last_contact as last_contact_less,
        floor(short) - short as short_less,
        floor(medium) - medium as medium_less,
        floor(long) - long as long_less,
        floor(months) - months as months_less,
        strength - floor(last_contact) - floor(short) - floor(medium) - floor(long) - floor(months) as missing
    from shares
),

turns as (
    select
        *,
        (short_less < last_contact_less)::int + (medium_less < last_contact_less)::int
            + (long_less < last_contact_less)::int + (months_less < last_contact_less)::int as before_last_contact,
        (last_contact_less <= short_less)::int + (medium_less < short_less)::int
            + (long_less < short_less)::int + (months_less < short_less)::int as before_short,
        (last_contact_less <= medium_less)::int + (short_less <= medium_less)::int
            + (long_less < medium_less)::int + (months_less < medium_less)::int as before_medium,
        (last_contact_less <= long_less)::int + (short_less <= long_less)::int
            + (medium_less <= long_less)::int + (months_less < long_less)::int as before_long,
        (last_contact_less <= months_less)::int + (short_less <= months_less)::int
            + (medium_less <= months_less)::int + (long_less <= months_less)::int as before_months
    from floors
),

points as (
    select
        contact_number,
        colleague_number,
        contact_email,
        colleague_email,
        unnest(
            [
                {'component': 'last_contact', 'points': floor(last_contact) + (before_last_contact < missing)::int},
                {
                    'component': format('half_life_{:g}', k.half_lives_days[1]),
                    'points': floor(short) + (before_short < missing)::int
                },
                {
                    'component': format('half_life_{:g}', k.half_lives_days[2]),
                    'points': floor(medium) + (before_medium < missing)::int
                },
                {
                    'component': format('half_life_{:g}', k.half_lives_days[3]),
                    'points': floor(long) + (before_long < missing)::int
                },
                {'component': 'months', 'points': floor(months) + (before_months < missing)::int}
            ]
        ) as part
    from turns, tie_constants
)

select
    contact_number,
    colleague_number,
    contact_email,
    colleague_email,
    part.component as component,
    part.points::integer as points,
    $as_of::timestamptz as as_of
from points
