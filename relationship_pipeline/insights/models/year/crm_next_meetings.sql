-- Next planned meeting of opportunities and leads. grain: (record_type, record_id).
-- inputs: meeting_links, meeting_people, persons, crm_sides, crm_teams.
with
teams as (
    select meeting_people.meeting_key, list(persons.name) as inside
    from meeting_people
    inner join persons on persons.person = meeting_people.person
    where meeting_people.is_us and meeting_people.answer <> 'declined'
    group by meeting_people.meeting_key
)

select crm_sides.record_type, crm_sides.record_id, min(meeting_links.start_at) as next_meeting_at
from meeting_links
inner join persons on persons.person = meeting_links.person
inner join crm_sides on crm_sides.contact = persons.name and not crm_sides.only_if_regarding
inner join crm_teams on crm_teams.record_type = crm_sides.record_type and crm_teams.record_id = crm_sides.record_id
inner join teams on teams.meeting_key = meeting_links.meeting_key
where len(list_intersect(teams.inside, crm_teams.team)) > 0
group by crm_sides.record_type, crm_sides.record_id
