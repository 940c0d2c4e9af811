-- Published: meetings with contacts that start after as_of (B4). grain: (contact_email, meeting).
-- inputs: meeting_links, meetings, persons, contact_accounts. parameters: $as_of.
select
    persons.name as contact_email,
    contact_accounts.account_id,
    meeting_links.start_at,
    meetings.end_at,
    meetings.is_all_day,
    case when meeting_links.by_us then 'sent' else 'received' end as direction,
    meeting_links.team as colleagues,
    $as_of::timestamptz as as_of
from meeting_links
inner join meetings on meetings.meeting_key = meeting_links.meeting_key
inner join persons on persons.person = meeting_links.person
left join contact_accounts on contact_accounts.contact = persons.name
