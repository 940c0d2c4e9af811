-- Stored: single emails with contacts and leads of the CRM, from which opportunities and leads are counted. `inside`: our
-- people who take part, mailbox owners included; `named`: those of them who are named in To or Cc, or sent it.
-- grain: email. inputs: named, received, watched_keys, other_copies, persons, absences(user_id, since, until).
with
watched as (
    select person, name from persons where is_watched
),

from_watched as (
    select received.*, watched.name as contact
    from received
    inner join watched on watched.person = received.sender
    where not received.is_border
),

owners as (
    select email, received_at, mailbox from from_watched
    union all
    select from_watched.email, from_watched.received_at, other_copies.mailbox
    from other_copies
    inner join from_watched on from_watched.message_key = other_copies.message_key
),

members as (
    select named.email, named.person, true as is_named
    from named
    where not named.by_us and named.email in (select email from from_watched)
    union all
    select owners.email, persons.person, false
    from owners
    inner join persons on persons.name = owners.mailbox and persons.is_us
    anti join absences
        on
            absences.user_id = owners.mailbox
            and owners.received_at >= coalesce(absences.since, '-infinity'::timestamptz)
            and owners.received_at < coalesce(absences.until, 'infinity'::timestamptz)
),

teams as (
    select
        members.email,
        list_sort(list(distinct persons.name)) as inside,
        list_sort(coalesce(list(distinct persons.name) filter (where members.is_named), [])) as named
    from members
    inner join persons on persons.person = members.person
    group by members.email
),

to_watched as (
    select
        named.email,
        any_value(named.thread) as thread,
        any_value(named.sent_at) as sent_at,
        bool_or(named.is_bulk) as is_bulk,
        list_sort(list(watched.name)) as contacts,
        any_value(named.sender) as sender
    from named
    inner join watched on watched.person = named.person
    where named.by_us and not named.is_border
    group by named.email
),

emails as (
    select
        from_watched.message_key,
        from_watched.thread,
        from_watched.sent_at,
        false as by_us,
        from_watched.is_bulk,
        [from_watched.contact] as contacts,
        teams.inside,
        teams.named
    from from_watched
    inner join teams on teams.email = from_watched.email
    union all
    select
        watched_keys.message_key,
        to_watched.thread,
        to_watched.sent_at,
        true,
        to_watched.is_bulk,
        to_watched.contacts,
        [persons.name],
        [persons.name]
    from to_watched
    inner join watched_keys on watched_keys.email = to_watched.email
    inner join persons on persons.person = to_watched.sender
)

select *
from emails
order by sent_at, message_key
