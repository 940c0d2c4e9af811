-- Published: whole points of each part of the strengths in who_knows_whom; they sum to the strength (largest remainder,
-- equal remainders to the earlier part; domain/ties.points).
-- grain: (contact_email, colleague_email, component). inputs: shown_ties, tie_constants(k). parameters: $as_of.
with
parts as (
    select
        record_id as contact_email,
        colleague_email,
        strength,
        score,
        unnest(
            [
                {'position': 1, 'component': 'last_contact', 'value': last_contact_part},
                {'position': 2, 'component': format('half_life_{:g}', k.half_lives_days[1]), 'value': short_part},
                {'position': 3, 'component': format('half_life_{:g}', k.half_lives_days[2]), 'value': medium_part},
                {'position': 4, 'component': format('half_life_{:g}', k.half_lives_days[3]), 'value': long_part},
                {'position': 5, 'component': 'months', 'value': months_part}
            ]
        ) as part
    from shown_ties, tie_constants
    where record_type = 'contact'
),

shares as (
    select
        contact_email,
        colleague_email,
        strength,
        part.position as position,
        part.component as component,
        case
            when score > 0 then strength * part.value / score
            when part.position = 1 then strength
            else 0
        end as share
    from parts
),

ranked as (
    select
        *,
        strength - sum(floor(share)) over (partition by contact_email, colleague_email) as missing,
        row_number() over (partition by contact_email, colleague_email order by floor(share) - share, position) as turn
    from shares
)

select
    contact_email,
    colleague_email,
    component,
    (floor(share) + case when turn <= missing then 1 else 0 end)::integer as points,
    $as_of::timestamptz as as_of
from ranked
