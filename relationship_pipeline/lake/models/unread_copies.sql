-- Staged rows that were not read as copies, by reason.
-- Grain: one reason. Inputs: staged, readable(mailbox, since, until), $month_start, $month_end.
select
    if(
        received_at >= $month_start and received_at < $month_end,
        'not_in_scope',
        'other_month'
    ) as reason,
    count(*) as copies
from staged
where
    not (received_at >= $month_start and received_at < $month_end)
    or not exists (
        select 1
        from readable
        where
            readable.mailbox = staged.mailbox
            and staged.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and staged.received_at < coalesce(readable.until, 'infinity'::timestamptz)
    )
group by reason
