-- Stored: which owners of the month's mailboxes were in scope: mail counts as theirs that does not name them (N9).
-- grain: mailbox. inputs: owners, people.
select mailbox, mailbox in (select user_id from people where in_scope and not hidden) as is_us
from owners
order by mailbox
