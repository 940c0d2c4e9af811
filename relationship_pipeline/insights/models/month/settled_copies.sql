-- The month's copies of emails that belong to the month before (B5). The times let the scan skip most of the file.
-- grain: copy. inputs: month_copies, settled_rows.
select month_copies.*
from month_copies
semi join settled_rows
    on settled_rows.message_key = month_copies.message_key and settled_rows.received_at = month_copies.received_at
