-- The same file without these mailboxes. Grain: (mailbox, reason). Inputs: $files, $mailboxes.
select mailbox, reason, copies
from read_parquet($files, hive_partitioning = false)
where mailbox not in (select unnest($mailboxes::varchar[]))
order by mailbox, reason
