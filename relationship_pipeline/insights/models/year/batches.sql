-- Published: what was read for each month (B9). grain: month.
-- inputs: month_records (one row a collected month, from its manifest and what was settled). parameters: $as_of.
select
    month,
    copies_read,
    distinct_emails,
    duplicates,
    dropped,
    left_out_by_cap,
    mailboxes_expected,
    mailboxes_read,
    status,
    read_at,
    left_out_copies,
    settled_copies,
    $as_of::timestamptz as as_of
from month_records
