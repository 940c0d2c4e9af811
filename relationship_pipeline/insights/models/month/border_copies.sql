-- The copies that border_rows names. The times let the scan skip most of the file.
-- grain: copy. inputs: before_copies, border_rows.
select before_copies.*
from before_copies
semi join border_rows
    on border_rows.message_key = before_copies.message_key and border_rows.received_at = before_copies.received_at
