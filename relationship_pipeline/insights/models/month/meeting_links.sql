-- Meetings that count, with their people outside and the size of our side (N10).
-- grain: (meeting_key, contact person). inputs: meetings, meeting_people.
with
teams as (
    select meeting_key, count(*) as people
    from meeting_people
    where is_us and answer <> 'declined'
    group by meeting_key
),

audiences as (
    select meeting_key, count(*) filter (where answer <> 'organizer') as audience
    from meeting_people
    group by meeting_key
)

select
    meetings.meeting_key,
    meetings.start_at,
    coalesce(meetings.organizer_side in ('us', 'internal'), false) as by_us,
    case
        when meetings.is_all_day then 0
        else least(greatest(epoch_us(coalesce(meetings.end_at, meetings.start_at)) - epoch_us(meetings.start_at), 0),
            86_400_000_000)
    end as micros,
    teams.people as team,
    audiences.audience,
    meeting_people.person,
    meeting_people.answer in ('organizer', 'accepted', 'tentativelyaccepted') as has_accepted
from meetings
inner join teams on teams.meeting_key = meetings.meeting_key
inner join audiences on audiences.meeting_key = meetings.meeting_key
inner join meeting_people on meeting_people.meeting_key = meetings.meeting_key and not meeting_people.is_us
where not meetings.is_cancelled
