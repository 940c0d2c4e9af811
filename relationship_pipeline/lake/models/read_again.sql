-- When what an earlier run collected of a mailbox was read again by this run, so that it goes by what is there now (O1, B3).
-- Grain: one interval of a mailbox, [since, until); null is open. Inputs: readable(mailbox, since, until), done(mailbox,
-- since): mailboxes read to the end, from `since` on where only what is new was asked for.
select
    readable.mailbox,
    greatest(readable.since, done.since) as since,
    readable.until
from readable
inner join done on readable.mailbox = done.mailbox
