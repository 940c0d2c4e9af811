-- Conversations by who wrote first in the window (N8). Microseconds x 2 + by_us: the least is the first.
-- grain: (record_type, record_id). inputs: conversations.
with
starts as (
    select record_type, record_id, thread, min(epoch_us(first_at) * 2 + by_us::bigint) % 2 = 1 as by_us
    from conversations
    group by record_type, record_id, thread
)

select
    record_type,
    record_id,
    count(*) filter (where by_us) as conversations_started_by_us,
    count(*) filter (where not by_us) as conversations_started_by_them
from starts
group by record_type, record_id
