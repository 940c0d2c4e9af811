-- Emails of the month that belong to the month before, because a copy is held there (B5). Each email's earliest copy
-- stands for it.
-- grain: message_key. inputs: month_copies, before_copies.
select message_key
from month_copies
where copy_rank = 1 and message_key in (select message_key from before_copies where copy_rank = 1)
