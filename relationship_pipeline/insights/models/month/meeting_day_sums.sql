-- Meetings on each day, by start. `last_mark` as in days: kind and direction 2 received, 3 sent.
-- grain: (record, day). inputs: meeting_turns.
select
    record,
    date '1970-01-01' + (epoch_us(start_at) // 86_400_000_000)::integer as day,
    count(*) filter (where by_us) as meetings_sent,
    count(*) filter (where not by_us) as meetings_received,
    sum(team_micros)::bigint as team_micros,
    sum(customer_micros)::bigint as customer_micros,
    min(start_at) as first_at,
    max(epoch_us(start_at) * 8 + 2 + by_us::bigint) as last_mark
from meeting_turns
group by record, day
