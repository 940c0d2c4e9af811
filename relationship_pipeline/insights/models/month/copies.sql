-- All copies that the month's derivation looks at. `is_border`: of an email of the month before, only to pair replies.
-- grain: copy. inputs: month_copies, settled_copies, late_copies, border_copies, settled_keys.
select *, false as is_border, copy_rank = 1 as is_head
from month_copies
where message_key not in (select message_key from settled_keys)
union all
select *, false, false
from late_copies
union all
select *, true, copy_rank = 1
from border_copies
union all
select *, true, false
from settled_copies
where message_key in (select message_key from border_copies)
