-- The month's copies of emails that belong to the month before (B5).
-- grain: copy. inputs: month_copies, settled_keys.
select *
from month_copies
where message_key in (select message_key from settled_keys)
