-- Meetings that count, with their people outside (N10).
-- grain: (meeting_key, contact person). inputs: held_meetings, meeting_people.
with
audiences as (
    select meeting_key, count(*) filter (where answer <> 'organizer') as audience
    from meeting_people
    group by meeting_key
)

select
    held_meetings.*,
    audiences.audience,
    meeting_people.person,
    meeting_people.answer in ('organizer', 'accepted', 'tentativelyaccepted') as has_accepted
from held_meetings
inner join audiences on audiences.meeting_key = held_meetings.meeting_key
inner join meeting_people on meeting_people.meeting_key = held_meetings.meeting_key and not meeting_people.is_us
