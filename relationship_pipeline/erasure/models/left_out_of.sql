-- Counts of what the rows do not show, of these mailboxes, by reason. Grain: reason. Inputs: $files, $mailboxes.
select reason, sum(copies)::bigint as copies, count(*) as mailboxes
from read_parquet($files, hive_partitioning = false)
where mailbox in (select unnest($mailboxes::varchar[]))
group by reason
