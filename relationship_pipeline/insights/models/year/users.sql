-- Users in scope by directory id, with what is shown of them. `user_key` stands for the id where pairs are stored.
-- `email`: the primary address where it is the user's own, else the first of the others; an Exchange DN only where there is
-- nothing else.
-- grain: user_id. inputs: people.
select
    user_id,
    hash(user_id) as user_key,
    coalesce(
        any_value(primary_address) filter (where address = primary_address),
        min(address) filter (where not starts_with(address, 'x500:')),
        min(address)
    ) as email,
    any_value(display_name) as name,
    bool_and(may_introduce) as may_introduce
from people
where in_scope and not hidden
group by user_id
