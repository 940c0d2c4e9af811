-- Meetings as they count for a record. Times spent are microseconds.
-- grain: (record, meeting_key). inputs: meeting_links, members.
select person as record, meeting_key, start_at, by_us, micros * team as team_micros,
    micros as customer_micros
from meeting_links
union all
select distinct members.account, meeting_key, start_at, by_us, micros * team, micros
from meeting_links
inner join members on members.person = meeting_links.person
