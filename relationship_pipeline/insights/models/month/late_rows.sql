-- Copies held in the month after of emails that belong to this month (B5).
-- grain: (message_key, received_at). inputs: after_copies, month_copies, settled_keys.
with
late_keys as (
    select message_key
    from after_copies
    where
        copy_rank = 1
        and message_key in (select message_key from month_copies where copy_rank = 1)
        and message_key not in (select message_key from settled_keys)
)

select distinct message_key, received_at
from after_copies
where message_key in (select message_key from late_keys)
