-- Copies within the bounds whose owner may not be read: staged ones (the others of read_staged), and those the source
-- counted only. Grain: mailbox (null where a row names none).
-- Inputs: staged (as read_staged has it), readable(mailbox, since, until), bounds(starts, ends), unread(mailbox, copies).
with
counted as (
    select
        staged.mailbox,
        1 as copies
    from staged
    anti join readable
        on
            staged.mailbox = readable.mailbox
            and staged.dated_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.dated_at < coalesce(readable.until, 'infinity'::timestamptz)
    where
        staged.dated_at >= (select starts from bounds)
        and staged.dated_at < (select ends from bounds)
    union all
    select
        mailbox,
        copies
    from unread
)

select
    mailbox,
    sum(copies)::bigint as copies
from counted
group by mailbox
