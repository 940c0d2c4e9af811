-- Copies held in the month after of emails that belong to this month: they add recipients and mailboxes (B5). The times
-- let the scan skip most of the file.
-- grain: copy. inputs: after_copies, late_rows.
select after_copies.*
from after_copies
semi join late_rows
    on late_rows.message_key = after_copies.message_key and late_rows.received_at = after_copies.received_at
