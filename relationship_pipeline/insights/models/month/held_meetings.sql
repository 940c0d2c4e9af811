-- Meetings that are not cancelled and that somebody of us holds or attends, whoever else does (N10): direction, length, and
-- the size of our side.
-- grain: meeting_key. inputs: meetings, meeting_teams.
select
    meetings.meeting_key,
    meetings.start_at,
    coalesce(meetings.organizer_side in ('us', 'internal'), false) as by_us,
    case
        when meetings.is_all_day then 0
        else least(greatest(epoch_us(coalesce(meetings.end_at, meetings.start_at)) - epoch_us(meetings.start_at), 0),
            86_400_000_000)
    end as micros,
    meeting_teams.people as team
from meetings
inner join meeting_teams on meeting_teams.meeting_key = meetings.meeting_key
where not meetings.is_cancelled
