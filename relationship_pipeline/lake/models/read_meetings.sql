-- Staged copies of meetings that count as read: they start in the bounds and their owner is readable then (O1).
-- Grain: one staged row. Inputs: staged (STAGED_MEETING, filename, file_row_number), readable(mailbox, since, until),
-- bounds(starts, ends).
select staged.*
from staged
semi join readable
    on
        staged.mailbox = readable.mailbox
        and staged.start_at >= coalesce(readable.since, '-infinity'::timestamptz)
        and staged.start_at < coalesce(readable.until, 'infinity'::timestamptz)
where
    staged.start_at >= (select starts from bounds)
    and staged.start_at < (select ends from bounds)
