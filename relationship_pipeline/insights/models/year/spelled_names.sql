-- The latest name of each contact as its own emails spell it. grain: contact. inputs: email_records.
select record_id as contact, arg_max(name, (named_at, name)) as name
from email_records
where record_type = 'contact' and name is not null
group by record_id
