-- The month's staged copies that count as read: received in the month, owner readable then (O1, C4).
-- Grain: one staged row. Inputs: staged (STAGED_EMAIL, filename, file_row_number), readable(mailbox, since, until),
-- bounds(starts, ends).
select staged.*
from staged
semi join readable
    on
        staged.mailbox = readable.mailbox
        and staged.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
        and staged.received_at < coalesce(readable.until, 'infinity'::timestamptz)
where
    staged.received_at >= (select starts from bounds)
    and staged.received_at < (select ends from bounds)
