-- Copies held in the month after of emails that belong to this month: they add recipients and mailboxes (B5).
-- grain: copy. inputs: after_copies, month_copies, settled_keys.
select *
from after_copies
where message_key in (
    select message_key from month_copies where message_key not in (select message_key from settled_keys)
)
