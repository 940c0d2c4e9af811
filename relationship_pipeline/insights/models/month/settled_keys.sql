-- Emails of the month that belong to the month before (B5).
-- grain: message_key. inputs: settled_rows.
select distinct message_key
from settled_rows
