-- The month's addresses of people who are out of scope at times, and when (O1, N2). grain: one row: their addresses as one
-- list, and the absences with their addresses as another. inputs: sides, absences(user_id, since, until).
with
absent as (
    select
        sides.address,
        coalesce(absences.since, '-infinity'::timestamptz) as since,
        coalesce(absences.until, 'infinity'::timestamptz) as until
    from sides
    inner join absences on absences.user_id = sides.user_id
    where sides.side = 'us'
)

select
    coalesce(list(distinct address), []) as addresses,
    coalesce(list({'address': address, 'since': since, 'until': until}), []) as spells
from absent
