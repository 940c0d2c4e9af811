-- Users in scope by directory id, with what is shown of them. `user_key` stands for the id where pairs are stored;
-- `number`: in the order of addresses, to sort by.
-- grain: user_id. inputs: people.
with
everyone as (
    select
        user_id,
        coalesce(any_value(primary_address), min(address)) as email,
        any_value(display_name) as name,
        bool_and(may_introduce) as may_introduce
    from people
    where in_scope and not hidden
    group by user_id
)

select *, hash(user_id) as user_key, row_number() over (order by email, user_id) as number
from everyone
