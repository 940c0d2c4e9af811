-- What the rows of a month of meetings do not show, by mailbox; as left_out.sql. Grain: (mailbox, reason).
-- Inputs: ranked_meetings, staged, readable(mailbox, since, until), bounds(starts, ends), unread(mailbox, copies),
-- done(mailbox).
with
together as (
    select mailbox, drop_reason as reason, 1 as copies
    from ranked_meetings
    where place = 1 and drop_reason is not null
    union all
    select staged.mailbox, 'not_in_scope', 1
    from staged, bounds
    anti join readable
        on
            staged.mailbox = readable.mailbox
            and staged.start_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.start_at < coalesce(readable.until, 'infinity'::timestamptz)
    where staged.start_at >= bounds.starts and staged.start_at < bounds.ends and staged.mailbox is not null
    union all
    select mailbox, 'not_in_scope', copies
    from unread
)

select mailbox, reason, sum(copies)::bigint as copies
from together
group by mailbox, reason
union all
select mailbox, 'read', 0
from done
order by mailbox, reason
