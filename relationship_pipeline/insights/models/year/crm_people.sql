-- Outside people on opportunities and leads. grain: (record_type, record_id, contact). inputs: crm_links.
with
people as (
    select record_type, record_id, kind, happened_at, unnest(them) as contact
    from crm_links
    where record_type in ('opportunity', 'lead') and kind <> 'phone_call'
)

select
    record_type,
    record_id,
    contact,
    count(*) filter (where kind = 'email') as emails,
    count(*) filter (where kind = 'meeting') as meetings,
    max(happened_at) as last_at
from people
group by record_type, record_id, contact
