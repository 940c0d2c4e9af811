-- Listed meetings as the records of the CRM count them, those among us included, which no contact takes part in.
-- grain: meeting. inputs: crm_meetings (here of everybody outside), held_meetings, meeting_teams.
select *
from crm_meetings
union all by name
select
    held_meetings.meeting_key,
    held_meetings.start_at,
    held_meetings.by_us,
    held_meetings.micros,
    []::varchar[] as contacts,
    meeting_teams.inside
from held_meetings
inner join meeting_teams on meeting_teams.meeting_key = held_meetings.meeting_key
where held_meetings.meeting_key not in (select meeting_key from crm_meetings)
