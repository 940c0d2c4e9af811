-- Copies of the month whose email belongs to the month before (B5).
-- grain: (message_key, received_at). inputs: month_copies, settled_keys.
select distinct message_key, received_at
from month_copies
where message_key in (select message_key from settled_keys)
