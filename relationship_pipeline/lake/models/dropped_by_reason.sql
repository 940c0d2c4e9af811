-- What the rows of a month do not show, by reason. Grain: one reason. Inputs: dropped(mailbox, reason, copies).
select
    reason,
    sum(copies)::bigint as copies
from dropped
group by reason
