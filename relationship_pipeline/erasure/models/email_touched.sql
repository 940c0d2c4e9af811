-- Whether a month of emails holds anything of these people, one row where it does.
-- Inputs: $files (the month's files), $mailboxes (whose copies go), $addresses (to go from others' copies).
select 1
from read_parquet($files, hive_partitioning = false)
where
    mailbox in (select unnest($mailboxes::varchar[]))
    or list_contains($addresses::varchar[], from_address)
    or list_contains($addresses::varchar[], sender_address)
    or list_has_any(to_addresses, $addresses::varchar[])
    or list_has_any(cc_addresses, $addresses::varchar[])
    or (contains(from_name, '@') and len($addresses::varchar[]) > 0)
limit 1
