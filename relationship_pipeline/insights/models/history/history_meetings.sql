-- The month's meetings as `evaluate` reads them: those that count (N10), without colleagues who declined; a user in scope
-- by the primary address.
-- grain: meeting_key. inputs: meetings, meeting_people, persons, people.
with
primaries as (
    select user_id, min(primary_address) as primary_address
    from people
    where in_scope
    group by user_id
),

taking_part as (
    select
        meeting_people.meeting_key,
        coalesce(primaries.primary_address, persons.name) as name,
        meeting_people.is_us,
        meeting_people.answer
    from meeting_people
    inner join persons on persons.person = meeting_people.person
    left join primaries on meeting_people.is_us and primaries.user_id = persons.name
    where not (meeting_people.is_us and meeting_people.answer = 'declined')
)

select
    meetings.meeting_key::varchar as meeting_id,
    any_value(meetings.start_at) as start_at,
    max(taking_part.name) filter (where taking_part.answer = 'organizer') as organizer,
    list(taking_part.name) filter (where taking_part.answer <> 'organizer') as attendees
from meetings
inner join taking_part on taking_part.meeting_key = meetings.meeting_key
where not meetings.is_cancelled
group by meetings.meeting_key
having bool_or(taking_part.is_us)
