-- Emails of crm_links that can be question or answer (N8). grain: (record_type, record_id, activity).
-- inputs: crm_links.
select record_type, record_id, activity, thread, by_us, happened_at
from crm_links
where kind = 'email' and not is_bulk
