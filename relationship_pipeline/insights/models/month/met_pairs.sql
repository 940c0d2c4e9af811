-- Pairs that also meet in the month: only of these the single days with mail must be stored, to be joined with the days
-- of meetings. More pairs than meet in the window do no harm.
-- grain: pair (record_type, record, colleague). inputs: month_meetings, parties, members, bounds(largest_audience).
with
invitations as (
    select meeting_key, organizer_address as address from month_meetings
    union
    select meeting_key, unnest(list_transform(attendees, lambda attendee: attendee.address)) from month_meetings
),

people as (
    select distinct invitations.meeting_key, parties.person, parties.is_us
    from invitations
    inner join parties on parties.address = invitations.address
),

small as (
    select meeting_key
    from people, bounds
    group by meeting_key, largest_audience
    having count(*) <= largest_audience + 1
)

select distinct 'contact' as record_type, other.person as record, one.person as colleague
from people as one
inner join people as other on other.meeting_key = one.meeting_key
where one.is_us and not other.is_us
union
select 'account', members.account, one.person
from people as one
inner join people as other on other.meeting_key = one.meeting_key
inner join members on members.person = other.person
where one.is_us and not other.is_us
union
select 'colleague', other.person, one.person
from people as one
inner join people as other on other.meeting_key = one.meeting_key
where one.is_us and other.is_us and one.person < other.person
  and one.meeting_key in (select meeting_key from small)
