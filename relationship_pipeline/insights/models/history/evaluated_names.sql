-- The one address by which `evaluate` knows each address: a user's primary address, else the address itself.
-- grain: address. inputs: sides, people.
with
primaries as (
    select user_id, min(primary_address) as primary_address
    from people
    where in_scope
    group by user_id
)

select sides.address, sides.side, coalesce(primaries.primary_address, sides.address) as name
from sides
left join primaries on primaries.user_id = sides.user_id
