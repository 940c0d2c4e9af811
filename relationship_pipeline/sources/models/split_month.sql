-- One month of an export file, of mailboxes that may be read. Grain: one row of the file.
-- Inputs: split_rows (split_messages or split_events), readable(mailbox), $bucket. Columns: as split_rows, without bucket.
select * exclude (bucket)
from split_rows
semi join readable on split_rows.mailbox = readable.mailbox
where bucket = $bucket
