-- How many meetings an export file holds of mailboxes that may not be read, by day (planned ones end within a month).
-- Grain: (mailbox, period). Inputs: split_rows (split_events), readable(mailbox).
select
    split_rows.mailbox,
    strftime(split_rows.start_at, '%Y-%m-%d') as period,
    count(*) as copies
from split_rows
anti join readable on split_rows.mailbox = readable.mailbox
where regexp_full_match(split_rows.bucket, '[0-9]{4}-[0-9]{2}')
group by all
