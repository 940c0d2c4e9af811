-- Second and further rows of `named` for one person in one email (aliases).
-- grain: rowid of named. inputs: named.
with
ranked as (
    select rowid as row_number, row_number() over (partition by email, person order by rowid) as occurrence
    from named
    where has_aliases
)

select row_number
from ranked
where occurrence > 1
