-- Addresses that ties may join, numbered in their order: millions of rows are sorted by a number in half the time that two
-- texts take.
-- grain: name. inputs: users, record_keys.
with
names as (
    select email as name from users
    union
    select record_id from record_keys where record_type = 'contact'
)

select name, (row_number() over (order by name))::bigint as number
from names
