-- evaluation_contacts: the outside contacts at one cut, for `silence`.
-- grain: one outside contact with at least $least_messages messages in the 365 days before $cut (fewer: no health)
-- inputs: evaluation_events (pairs are inside, outside), evaluation_health at this cut; $cut (UTC)
-- columns: contact (address), silent (no message with anyone inside in the 60 days from the cut), and what any health
--   score must beat, higher = sooner silent: recency (days since the last message), count_28d, count_365d (negated)
with before as (
    select
        b,
        count(distinct message) as messages,
        count(distinct message) filter (sent_at >= cast($cut as timestamp) - interval 28 days) as messages_28d,
        max(sent_at) as last_at
    from evaluation_events
    where kind <> 'meeting' and sent_at < $cut and sent_at >= cast($cut as timestamp) - interval 365 days
    group by b
    having count(distinct message) >= $least_messages
),

after as (
    select distinct b
    from evaluation_events
    where kind <> 'meeting' and sent_at >= $cut and sent_at < cast($cut as timestamp) + interval 60 days
)

select
    addresses.address as contact,
    after.b is null as silent,
    (epoch(cast($cut as timestamp)) - epoch(last_at)) / 86400.0 as recency,
    -cast(messages_28d as double) as count_28d,
    -cast(messages as double) as count_365d,
    -health as health
from before
inner join evaluation_addresses as addresses on addresses.id = before.b
inner join evaluation_health using (b)
left join after using (b)
order by before.b
