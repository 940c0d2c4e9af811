-- Copies besides an email's earliest one: in whose mailboxes it lay as well.
-- grain: copy. inputs: copies.
select message_key, mailbox
from copies
where not is_head
