-- Every address that the month's emails and meetings name.
-- grain: address. inputs: emails, month_meetings.
with
texts as (
    select sender as address from emails
    union all
    select unnest(recipients) from emails
    union all
    select organizer_address from month_meetings
    union all
    select unnest(list_transform(attendees, lambda attendee: attendee.address)) from month_meetings
)

select distinct address
from texts
where address is not null
