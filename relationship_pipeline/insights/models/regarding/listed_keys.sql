-- Emails and meetings that the CRM says are regarding a record and that no month keeps, for no contact or lead of the CRM
-- took part: to be read from the lake (product.md 6).
-- grain: activity. inputs: crm_regarding, crm_emails, crm_meetings.
with
kept as (
    select message_key as activity from crm_emails
    union all
    select meeting_key from crm_meetings
)

select distinct try_cast(activity as uuid) as activity
from crm_regarding
where kind in ('email', 'meeting') and try_cast(activity as uuid) not in (select activity from kept)
