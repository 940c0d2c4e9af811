-- Emails and copies of the month that were settled to the month before (B5). grain: one row.
-- inputs: settled_copies, settled_keys.
select
    (select count(*) from settled_keys) as settled_emails,
    (select count(*) from settled_copies) as settled_copies
