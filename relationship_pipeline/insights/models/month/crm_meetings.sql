-- Stored: single meetings with contacts and leads of the CRM. `inside`: our people who have not declined.
-- grain: meeting. inputs: meeting_links, meeting_teams, persons.
with
watched as (
    select
        meeting_links.meeting_key,
        any_value(meeting_links.start_at) as start_at,
        any_value(meeting_links.by_us) as by_us,
        any_value(meeting_links.micros) as micros,
        list_sort(list(persons.name)) as contacts
    from meeting_links
    inner join persons on persons.person = meeting_links.person
    where persons.is_watched
    group by meeting_links.meeting_key
)

select watched.*, meeting_teams.inside
from watched
inner join meeting_teams on meeting_teams.meeting_key = watched.meeting_key
order by watched.start_at, watched.meeting_key
