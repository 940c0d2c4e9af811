-- Emails and meetings that the CRM says are regarding a record and that no month keeps, for no contact or lead of the CRM
-- took part: to be read from the lake (product.md 6).
-- grain: activity. inputs: crm_regarding, crm_emails, crm_meetings.
select distinct activity::uuid as activity
from crm_regarding
where
    kind = 'email' and activity::uuid not in (select message_key from crm_emails)
    or kind = 'meeting' and activity::uuid not in (select meeting_key from crm_meetings)
