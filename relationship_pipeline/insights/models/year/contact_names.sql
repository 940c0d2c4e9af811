-- The name of each contact: the CRM's, else as its own emails spell it. grain: contact.
-- inputs: spelled_names, crm_names(contact, name).
select
    coalesce(crm_names.contact, spelled_names.contact) as contact,
    coalesce(crm_names.name, spelled_names.name) as name
from spelled_names
full join crm_names on crm_names.contact = spelled_names.contact
