-- What the rows of a month of emails do not show, by mailbox: copies dropped (B6) or not in scope by reason, and `read`
-- with 0 for each mailbox that was read. Rows that repeat a copy are that copy (B5). Grain: (mailbox, reason).
-- Inputs: copies, repeated_copies, left_out_folders(folder_class), staged, readable(mailbox, since, until),
-- bounds(starts, ends), unread(mailbox, copies), done(mailbox).
with
dropped as (
    select copies.mailbox, if(copies.is_draft, 'draft', copies.folder_class) as reason, 1 as copies
    from copies
    anti join repeated_copies on copies.rowid = repeated_copies.row_number_in_copies
    where copies.is_draft or copies.folder_class in (select folder_class from left_out_folders)
),

not_in_scope as (
    select staged.mailbox, 'not_in_scope' as reason, 1 as copies
    from staged, bounds
    anti join readable
        on
            staged.mailbox = readable.mailbox
            and staged.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.received_at < coalesce(readable.until, 'infinity'::timestamptz)
    where staged.received_at >= bounds.starts and staged.received_at < bounds.ends and staged.mailbox is not null
),

together as (
    select * from dropped
    union all
    select * from not_in_scope
    union all
    select mailbox, 'not_in_scope', copies from unread
)

select mailbox, reason, sum(copies)::bigint as copies
from together
group by mailbox, reason
union all
select mailbox, 'read', 0
from done
order by mailbox, reason
