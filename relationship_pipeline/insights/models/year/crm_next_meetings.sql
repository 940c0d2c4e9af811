-- Next planned meeting of opportunities and leads, and of any record that the CRM says one is regarding, as crm_links judges
-- past ones. grain: (record_type, record_id).
-- inputs: held_meetings, meeting_teams, meeting_links, persons, crm_sides, crm_teams, crm_regarding.
with
planned as (
    select
        held_meetings.meeting_key,
        any_value(held_meetings.start_at) as start_at,
        any_value(meeting_teams.inside) as inside,
        coalesce(list(persons.name) filter (where persons.name is not null), []) as contacts
    from held_meetings
    inner join meeting_teams on meeting_teams.meeting_key = held_meetings.meeting_key
    left join meeting_links on meeting_links.meeting_key = held_meetings.meeting_key
    left join persons on persons.person = meeting_links.person
    group by held_meetings.meeting_key
),

sides as (
    select
        record_type,
        record_id,
        list(contact) filter (where not only_if_regarding) as contacts,
        list(contact) filter (where only_if_regarding) as primaries
    from crm_sides
    group by record_type, record_id
),

people as (
    select meeting_key, start_at, inside, unnest(contacts) as contact
    from planned
),

named as (
    select crm_sides.record_type, crm_sides.record_id, people.start_at
    from people
    inner join crm_sides on crm_sides.contact = people.contact and not crm_sides.only_if_regarding
    inner join crm_teams on crm_teams.record_type = crm_sides.record_type and crm_teams.record_id = crm_sides.record_id
    where list_has_any(people.inside, crm_teams.team)
),

regarding as (
    select crm_regarding.record_type, crm_regarding.record_id, planned.start_at
    from crm_regarding
    inner join planned on crm_regarding.kind = 'meeting' and crm_regarding.activity = planned.meeting_key::varchar
    left join crm_teams
        on crm_teams.record_type = crm_regarding.record_type and crm_teams.record_id = crm_regarding.record_id
    left join sides on sides.record_type = crm_regarding.record_type and sides.record_id = crm_regarding.record_id
    where
        coalesce(list_has_any(planned.inside, crm_teams.team), true)
        or coalesce(list_has_any(planned.contacts, sides.contacts), false)
        or not coalesce(list_has_any(planned.contacts, sides.primaries), false)
)

select record_type, record_id, min(start_at) as next_meeting_at
from (select * from named union all select * from regarding)
group by record_type, record_id
