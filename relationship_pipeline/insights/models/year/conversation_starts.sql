-- Conversations by who wrote first in the window (N8).
-- grain: (record_type, record_id). inputs: conversations.
with
starts as (
    select record_type, record_id, thread, arg_min(by_us, (first_at, by_us)) as by_us
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
