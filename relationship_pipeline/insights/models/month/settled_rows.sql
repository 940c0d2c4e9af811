-- Copies of the month whose email belongs to the month before, because a copy is held there (B5).
-- grain: (message_key, received_at). inputs: month_copies, before_copies.
select distinct message_key, received_at
from month_copies
where message_key in (select message_key from before_copies)
