-- Emails and copies of the month that were settled to the month before (B5). grain: one row.
-- inputs: month_copies, settled_keys.
select
    (select count(*) from settled_keys) as settled_emails,
    count(*) as settled_copies
from month_copies
where message_key in (select message_key from settled_keys)
