-- Users in scope by directory id, with what is shown of them. `user_key` stands for the id where pairs are stored.
-- grain: user_id. inputs: people.
select
    user_id,
    hash(user_id) as user_key,
    coalesce(any_value(primary_address) filter (where address = primary_address), min(address)) as email,
    any_value(display_name) as name,
    bool_and(may_introduce) as may_introduce
from people
where in_scope and not hidden
group by user_id
