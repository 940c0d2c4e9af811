-- Copies held in the month after of emails that belong to this month: they add recipients and mailboxes (B5).
-- grain: copy. inputs: after_copies, month_copies, settled_keys.
with
late_keys as materialized (
    select distinct message_key
    from after_copies
    where message_key in (select message_key from month_copies)
)

select *
from after_copies
where message_key in (select message_key from late_keys)
  and message_key not in (select message_key from settled_keys)
