-- How many messages an export file holds of mailboxes that may not be read, by month. Grain: (mailbox, period).
-- Inputs: split_rows (split_messages), readable(mailbox).
select
    split_rows.mailbox,
    split_rows.bucket as period,
    count(*) as copies
from split_rows
anti join readable on split_rows.mailbox = readable.mailbox
where regexp_full_match(split_rows.bucket, '[0-9]{4}-[0-9]{2}')
group by split_rows.mailbox, split_rows.bucket
