-- The month's staged copies that count as read: received in the month, owner readable then (O1, C4).
-- Grain: one staged row. Inputs: staged (STAGED_EMAIL, filename, file_row_number), readable(mailbox, since, until),
-- $month_start, $month_end.
select *
from staged
where
    received_at >= $month_start
    and received_at < $month_end
    and exists (
        select 1
        from readable
        where
            readable.mailbox = staged.mailbox
            and staged.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.received_at < coalesce(readable.until, 'infinity'::timestamptz)
    )
