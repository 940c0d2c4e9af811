-- Staged meetings of the interval whose owner may not be read, by reason. Grain: one reason.
-- Inputs: staged, readable(mailbox, since, until), $starts, $ends.
select
    'not_in_scope' as reason,
    count(*) as copies
from staged
where
    start_at >= $starts
    and start_at < $ends
    and not exists (
        select 1
        from readable
        where
            readable.mailbox = staged.mailbox
            and staged.start_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.start_at < coalesce(readable.until, 'infinity'::timestamptz)
    )
having count(*) > 0
