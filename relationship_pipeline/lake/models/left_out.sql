-- What the rows of a month do not show, by mailbox, and `read` with 0 for each mailbox that was read.
-- Grain: (mailbox, reason). Inputs: dropped(mailbox, reason, copies), done(mailbox).
select
    mailbox,
    reason,
    copies
from dropped
where mailbox is not null
union all
select
    mailbox,
    'read',
    0
from done
order by mailbox, reason
