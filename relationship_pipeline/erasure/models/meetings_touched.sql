-- Whether a table of meetings holds anything of these people, one row where it does.
-- Inputs: $files, $mailboxes (whose copies go), $addresses (to go from others' copies).
select 1
from read_parquet($files, hive_partitioning = false)
where
    mailbox in (select unnest($mailboxes::varchar[]))
    or list_contains($addresses::varchar[], organizer_address)
    or list_has_any(list_transform(attendees, lambda a: a.address), $addresses::varchar[])
limit 1
