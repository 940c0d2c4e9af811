-- The next planned meeting of each record. grain: (record_type, record_id). inputs: meeting_links, persons, members,
--   accounts, crm_next_meetings.
select 'contact' as record_type, persons.name as record_id, min(meeting_links.start_at) as next_meeting_at
from meeting_links
inner join persons on persons.person = meeting_links.person
group by persons.name
union all
select 'account', accounts.account_id, min(meeting_links.start_at)
from meeting_links
inner join members on members.person = meeting_links.person
inner join accounts on accounts.account = members.account
group by accounts.account_id
union all
select record_type, record_id, next_meeting_at
from crm_next_meetings
