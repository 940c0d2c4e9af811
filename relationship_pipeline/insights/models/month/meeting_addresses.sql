-- Every address that the month's meetings name.
-- grain: address. inputs: month_meetings.
with
texts as (
    select organizer_address as address from month_meetings
    union all
    select unnest(list_transform(attendees, lambda attendee: attendee.address)) from month_meetings
)

select distinct address
from texts
where address is not null
