-- A table of meetings as a collection that never saw these people would have left it (W5).
-- Grain: one copy (schemas.MEETINGS). Inputs: $files, $mailboxes (whose copies go), $addresses (to go from others').
select
    meeting_key,
    mailbox,
    item_key,
    series_key,
    if(list_contains($addresses::varchar[], organizer_address), null, organizer_address) as organizer_address,
    is_organizer,
    own_response,
    list_filter(attendees, lambda a: not list_contains($addresses::varchar[], a.address)) as attendees,
    start_at,
    end_at,
    is_all_day,
    is_cancelled
from read_parquet($files, hive_partitioning = false)
where mailbox not in (select unnest($mailboxes::varchar[]))
order by
    start_at,
    meeting_key,
    mailbox,
    item_key
