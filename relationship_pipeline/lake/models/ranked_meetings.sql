-- The copies in order: first the one that stays of each (mailbox, item), its place 1; then its repetitions.
-- Grain: one row of meeting_copies. Inputs: meeting_copies. All columns are in the order, so that
-- the choice is the same whatever the order of rows.
select
    *,
    row_number() over (
        partition by mailbox, item_key
        order by
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
