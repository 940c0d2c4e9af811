-- Every record that has a row (N7): with something counted in the window, or in the CRM; and the accounts of contacts
-- with a row.
-- grain: (record_type, record_id). inputs: records, crm_known(record_type, record_id), contact_accounts.
with
counted as (
    select record_type, record_id from records
    union
    select record_type, record_id from crm_known
)

select record_type, record_id from counted
union
select 'account', unnest(contact_accounts.accounts)
from counted
inner join contact_accounts on contact_accounts.contact = counted.record_id
where counted.record_type = 'contact'
