-- Staged copies of meetings that count as read: they start in [$starts, $ends) and their owner is readable then (O1).
-- Grain: one staged row. Inputs: staged (STAGED_MEETING, filename, file_row_number), readable(mailbox, since, until).
select *
from staged
where
    start_at >= $starts
    and start_at < $ends
    and exists (
        select 1
        from readable
        where
            readable.mailbox = staged.mailbox
            and staged.start_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.start_at < coalesce(readable.until, 'infinity'::timestamptz)
    )
