-- The name of each contact: the CRM's, else as the contact's own latest email spells it.
-- grain: contact. inputs: records, crm_names(contact, name).
select
    coalesce(crm_names.contact, records.record_id) as contact,
    coalesce(crm_names.name, records.named.name) as name
from (select record_id, named from records where record_type = 'contact' and named is not null) as records
full join crm_names on crm_names.contact = records.record_id
