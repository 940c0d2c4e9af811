-- Every record that has a row (N7): with something counted in the window, or in the CRM.
-- grain: (record_type, record_id). inputs: records, crm_known(record_type, record_id).
select record_type, record_id from records
union
select record_type, record_id from crm_known
