-- Listed meetings as the records of the CRM count them, those among us included, which no contact takes part in. Side and
-- length as in meeting_links (N10).
-- grain: meeting. inputs: crm_meetings (here of everybody outside), meetings, meeting_people, persons.
with
teams as (
    select meeting_people.meeting_key, list_sort(list(persons.name)) as inside
    from meeting_people
    inner join persons on persons.person = meeting_people.person
    where meeting_people.is_us and meeting_people.answer <> 'declined'
    group by meeting_people.meeting_key
)

select *
from crm_meetings
union all by name
select
    meetings.meeting_key,
    meetings.start_at,
    coalesce(meetings.organizer_side in ('us', 'internal'), false) as by_us,
    case
        when meetings.is_all_day then 0
        else least(greatest(epoch_us(coalesce(meetings.end_at, meetings.start_at)) - epoch_us(meetings.start_at), 0),
            86_400_000_000)
    end as micros,
    []::varchar[] as contacts,
    teams.inside
from meetings
inner join teams on teams.meeting_key = meetings.meeting_key
where not meetings.is_cancelled and meetings.meeting_key not in (select meeting_key from crm_meetings)
