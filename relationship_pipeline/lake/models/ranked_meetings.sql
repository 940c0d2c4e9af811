-- The copies in order: first the one that stays of each (mailbox, item), its place 1; then its repetitions.
-- Grain: one row of meeting_copies. Inputs: meeting_copies. Read now goes before read earlier; the other columns only
-- make the choice the same whatever the order of rows.
select
    *,
    row_number() over (
        partition by mailbox, item_key
        order by
            is_earlier,
            start_at,
            meeting_key,
            drop_reason nulls first,
            organizer_address,
            is_organizer,
            own_response,
            attendees,
            end_at,
            is_all_day,
            is_cancelled,
            series_key
    ) as place
from meeting_copies
