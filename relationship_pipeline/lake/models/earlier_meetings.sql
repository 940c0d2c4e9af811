-- Meetings of this month collected by an earlier run that this run could not read again: they stay (O1).
-- Grain: one copy. Inputs: $files (the month's files so far), meeting_copies, read_again.
select
    *,
    null as drop_reason,
    0 as unresolved,
    true as is_earlier
from read_parquet($files, hive_partitioning = false) as earlier
anti join read_again
    on
        earlier.mailbox = read_again.mailbox
        and earlier.start_at >= coalesce(read_again.since, '-infinity'::timestamptz)
        and earlier.start_at < coalesce(read_again.until, 'infinity'::timestamptz)
anti join meeting_copies on earlier.mailbox = meeting_copies.mailbox and earlier.item_key = meeting_copies.item_key
