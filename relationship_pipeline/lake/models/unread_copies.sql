-- Copies of the month whose owner may not be read, by reason: staged ones, and those the source counted only.
-- Grain: one reason. Inputs: staged, readable(mailbox, since, until), bounds(starts, ends), unread(mailbox, copies).
with
counted as (
    select 1 as copies
    from staged
    anti join readable
        on
            staged.mailbox = readable.mailbox
            and staged.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.received_at < coalesce(readable.until, 'infinity'::timestamptz)
    where
        staged.received_at >= (select starts from bounds)
        and staged.received_at < (select ends from bounds)
    union all
    select copies
    from unread
)

select
    'not_in_scope' as reason,
    sum(copies)::bigint as copies
from counted
having sum(copies) > 0
