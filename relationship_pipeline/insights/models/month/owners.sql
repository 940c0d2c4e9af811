-- Whose mailboxes the month's copies lie in.
-- grain: mailbox. inputs: copies.
select distinct mailbox
from copies
