-- Who takes part in a meeting and what he answered: by his own copy, else by the organizer's, else nothing (N10).
-- Rooms and equipment are nobody, and so is who was out of scope when the meeting began (N2).
-- grain: (meeting_key, person). inputs: month_meetings, meetings, parties, persons, absences(user_id, since, until).
with
organizers as (
    select meetings.meeting_key, persons.person, persons.is_us
    from meetings
    inner join persons on persons.name = meetings.organizer and persons.is_us = (meetings.organizer_side = 'us')
    where meetings.organizer_side in ('us', 'outside')
),

invitations as (
    select meeting_key, unnest(attendees) as attendee
    from month_meetings
    where meeting_key in (select meeting_key from meetings)
),

attendees as (
    select distinct invitations.meeting_key, parties.person, parties.is_us
    from invitations
    inner join parties on parties.address = invitations.attendee.address
    where coalesce(invitations.attendee.type, '') <> 'resource'
),

own_answers as (
    select
        month_meetings.meeting_key,
        persons.person,
        first(month_meetings.own_response order by month_meetings.item_key) as answer
    from month_meetings
    inner join persons on persons.name = month_meetings.mailbox and persons.is_us
    where month_meetings.own_response is not null
    group by month_meetings.meeting_key, persons.person
),

told as (
    select meeting_key, unnest(organizer_attendees) as attendee
    from meetings
),

told_answers as (
    select told.meeting_key, parties.person, min(told.attendee.response) as answer
    from told
    inner join parties on parties.address = told.attendee.address
    group by told.meeting_key, parties.person
),

taking_part as (
    select meeting_key, person, is_us, 'organizer' as answer
    from organizers
    union all
    select
        attendees.meeting_key,
        attendees.person,
        attendees.is_us,
        lower(coalesce(own_answers.answer, told_answers.answer, 'none'))
    from attendees
    left join own_answers
        on own_answers.meeting_key = attendees.meeting_key and own_answers.person = attendees.person
    left join told_answers
        on told_answers.meeting_key = attendees.meeting_key and told_answers.person = attendees.person
    where (attendees.meeting_key, attendees.person) not in (select (meeting_key, person) from organizers)
),

absent as (
    select meetings.meeting_key, persons.person
    from absences
    inner join persons on persons.name = absences.user_id and persons.is_us
    inner join meetings
        on
            meetings.start_at >= coalesce(absences.since, '-infinity'::timestamptz)
            and meetings.start_at < coalesce(absences.until, 'infinity'::timestamptz)
)

select *
from taking_part
where (meeting_key, person) not in (select (meeting_key, person) from absent)
