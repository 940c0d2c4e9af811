-- Staged copies that count as read, of emails (view read_copies) or meetings (view read_meetings): dated within the bounds,
-- their owner readable then (O1, C4).
-- Grain: one staged row. Inputs: staged (STAGED_EMAIL or STAGED_MEETING, filename, file_row_number, dated_at: received_at or
-- start_at), readable(mailbox, since, until), bounds(starts, ends).
select staged.* exclude (dated_at)
from staged
semi join readable
    on
        staged.mailbox = readable.mailbox
        and staged.dated_at >= coalesce(readable.since, '-infinity'::timestamptz)
        and staged.dated_at < coalesce(readable.until, 'infinity'::timestamptz)
where
    staged.dated_at >= (select starts from bounds)
    and staged.dated_at < (select ends from bounds)
