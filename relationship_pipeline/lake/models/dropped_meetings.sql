-- Copies of meetings that the month's rows do not show: left out by B6, or not in scope.
-- Grain: (mailbox, reason). Inputs: ranked_meetings, not_in_scope(mailbox, copies).
select
    mailbox,
    drop_reason as reason,
    count(*) as copies
from ranked_meetings
where place = 1 and drop_reason is not null
group by mailbox, drop_reason
union all
select
    mailbox,
    'not_in_scope',
    copies
from not_in_scope
