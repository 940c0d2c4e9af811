-- Counts of opportunities and leads, and calls of all records, by day; as the stored days of emails and meetings.
-- grain: (record_type, record_id, day). inputs: crm_links.
select
    record_type,
    record_id,
    happened_at::date as day,
    count(*) filter (where kind = 'email' and by_us) as emails_sent,
    count(*) filter (where kind = 'email' and not by_us) as emails_received,
    count(*) filter (where kind = 'meeting' and by_us) as meetings_sent,
    count(*) filter (where kind = 'meeting' and not by_us) as meetings_received,
    count(*) filter (where kind = 'phone_call' and by_us) as phone_calls_made,
    count(*) filter (where kind = 'phone_call' and not by_us) as phone_calls_received,
    count(*) filter (where kind = 'email' and by_us and not is_bulk) as sent_answerable,
    count(*) filter (where kind = 'email' and not by_us and not is_bulk) as received_answerable,
    sum(team_micros)::bigint as team_micros,
    sum(customer_micros)::bigint as customer_micros,
    min(happened_at) as first_at,
    max(
        epoch_us(happened_at) * 8 + case kind when 'email' then 0 when 'meeting' then 2 else 4 end + by_us::bigint
    ) as last_mark
from crm_links
group by record_type, record_id, day
