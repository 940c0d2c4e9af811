-- Staged meetings of the interval whose owner may not be read, by reason. Grain: one reason.
-- Inputs: staged, readable(mailbox, since, until), bounds(starts, ends).
select
    'not_in_scope' as reason,
    count(*) as copies
from staged
anti join readable
    on
        staged.mailbox = readable.mailbox
        and staged.start_at >= coalesce(readable.since, '-infinity'::timestamptz)
        and staged.start_at < coalesce(readable.until, 'infinity'::timestamptz)
where
    staged.start_at >= (select starts from bounds)
    and staged.start_at < (select ends from bounds)
having count(*) > 0
