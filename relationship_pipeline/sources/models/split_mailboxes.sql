-- The mailboxes of one export file. Grain: one mailbox. Inputs: split_rows (split_messages or split_events).
-- Columns: mailbox, state: `incomplete` or `complete` where a summary row says so, else `rows`.
select
    mailbox,
    case
        when bool_or(bucket = 'summary.incomplete') then 'incomplete'
        when bool_or(bucket = 'summary.complete') then 'complete'
        else 'rows'
    end as state
from split_rows
where mailbox <> '' and not starts_with(bucket, 'rejected')
group by mailbox
