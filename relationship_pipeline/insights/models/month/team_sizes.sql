-- N9: the people in scope who are named in an email received or in whose mailbox it lay. One without any is nobody's:
-- its owner has left the scope.
-- grain: message_key. inputs: named, received, other_copies, persons.
with
members as (
    select message_key, person from named where not by_us
    union
    select received.message_key, persons.person
    from received
    inner join persons on persons.name = received.mailbox and persons.is_us
    union
    select other_copies.message_key, persons.person
    from other_copies
    inner join persons on persons.name = other_copies.mailbox and persons.is_us
    where other_copies.message_key in (select message_key from received)
)

select message_key, count(*) as people
from members
group by message_key
