-- What was read for each month.
-- grain: month; input: batches
select
    month,
    status,
    distinct_emails,
    duplicates,
    dropped,
    left_out_by_cap,
    mailboxes_expected,
    mailboxes_read,
    read_at
from batches
order by month
