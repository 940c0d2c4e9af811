-- The month's hidden addresses as one list. grain: one row. inputs: sides.
select coalesce(list(address), []) as addresses
from sides
where side = 'hidden'
