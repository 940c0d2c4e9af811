-- Single emails, meetings and calls that the CRM's records are counted from. `inside`: our people who take part; `named`:
-- those among them a most-contacted list may show.
-- grain: activity. inputs: crm_emails, listed_emails, crm_meetings, listed_meetings, crm_calls.
with
emails as (
    select * from crm_emails
    union all
    select * from listed_emails
),

meetings as (
    select * from crm_meetings
    union all
    select * from listed_meetings
)

select
    message_key::varchar as activity,
    'email' as kind,
    sent_at as happened_at,
    by_us,
    is_bulk,
    thread,
    0 as micros,
    contacts,
    inside,
    named
from emails
union all
select meeting_key::varchar, 'meeting', start_at, by_us, false, null, micros, contacts, inside, inside
from meetings
union all
select activity_id, 'phone_call', started_at, by_us, false, null, micros, contacts, inside, []
from crm_calls
