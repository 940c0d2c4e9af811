-- The next planned meeting of each record. grain: (record_type, record_id).
-- inputs: meeting_links, persons, members, accounts, known_records, crm_next_meetings.
with
contacts as (
    select
        persons.person,
        persons.name as contact,
        min(meeting_links.start_at) as next_meeting_at,
        bool_or(known_records.record_id is not null) as has_row
    from meeting_links
    inner join persons on persons.person = meeting_links.person
    left join known_records on known_records.record_type = 'contact' and known_records.record_id = persons.name
    group by persons.person, persons.name
),

meetings as (
    select 'contact' as record_type, contact as record_id, next_meeting_at
    from contacts
    union all
    select 'account', accounts.account_id, contacts.next_meeting_at
    from contacts
    inner join members on members.person = contacts.person
    inner join accounts on accounts.account = members.account
    where contacts.has_row
    union all
    select record_type, record_id, next_meeting_at
    from crm_next_meetings
)

select record_type, record_id, min(next_meeting_at) as next_meeting_at
from meetings
group by record_type, record_id
