-- What the CRM says an activity is regarding. grain: (activity, kind, record_type, record_id).
-- inputs: crm_calls, crm_listed_emails, crm_listed_appointments (schemas.CRM), crm_contact_ids(contact_id, contact),
--   crm_ids(record_type, record_id: opportunities, leads and accounts of the CRM); macros of lake/models/functions.sql.
with
said as (
    select activity_id as activity, 'phone_call' as kind, regarding_type, regarding_id
    from crm_calls
    union all
    select key_of(message_id(internet_message_id))::varchar, 'email', regarding_type, regarding_id
    from crm_listed_emails
    union all
    select key_of(concat_ws(chr(31), trim(ical_uid), epoch_us(start_at)::varchar))::varchar, 'meeting', regarding_type, regarding_id
    from crm_listed_appointments
)

select distinct said.activity, said.kind, said.regarding_type as record_type, said.regarding_id as record_id
from said
inner join crm_ids on crm_ids.record_type = said.regarding_type and crm_ids.record_id = said.regarding_id
where said.activity is not null
union
select said.activity, said.kind, 'contact', crm_contact_ids.contact
from said
inner join crm_contact_ids on crm_contact_ids.contact_id = said.regarding_id
where said.regarding_type = 'contact' and said.activity is not null
