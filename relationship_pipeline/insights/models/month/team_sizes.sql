-- N9: the people in scope who are named in an email received or in whose mailbox it lay. One without any is nobody's:
-- its owner has left the scope, for good or at that time.
-- grain: message_key. inputs: named, received, other_copies, persons, absences(user_id, since, until).
with
owners as (
    select message_key, received_at, mailbox from received
    union
    select received.message_key, received.received_at, other_copies.mailbox
    from other_copies
    inner join received on received.message_key = other_copies.message_key
),

members as (
    select message_key, person from named where not by_us
    union
    select owners.message_key, persons.person
    from owners
    inner join persons on persons.name = owners.mailbox and persons.is_us
    anti join absences
        on
            absences.user_id = owners.mailbox
            and owners.received_at >= coalesce(absences.since, '-infinity'::timestamptz)
            and owners.received_at < coalesce(absences.until, 'infinity'::timestamptz)
)

select message_key, count(*) as people
from members
group by message_key
