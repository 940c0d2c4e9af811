-- N9: the people in scope who are named in an email received or in whose mailbox it lay. One without any is nobody's:
-- its owner has left the scope, for good or at that time.
-- grain: email. inputs: named, received, other_copies, persons, absences(user_id, since, until).
with
absent as (
    select
        persons.person,
        coalesce(absences.since, '-infinity'::timestamptz) as since,
        coalesce(absences.until, 'infinity'::timestamptz) as until
    from absences
    inner join persons on persons.name = absences.user_id and persons.is_us
),

lain as (
    select email, received_at, mailbox from received
    union all
    select received.email, received.received_at, other_copies.mailbox
    from other_copies
    inner join received on received.message_key = other_copies.message_key
),

owners as (
    select lain.email, lain.received_at, persons.person
    from lain
    inner join persons on persons.name = lain.mailbox and persons.is_us
),

members as (
    select email, person from named where not by_us
    union
    select owners.email, owners.person
    from owners
    anti join absent
        on absent.person = owners.person and owners.received_at >= absent.since and owners.received_at < absent.until
)

select email, count(*) as people
from members
group by email
