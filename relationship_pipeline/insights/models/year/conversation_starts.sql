-- Conversations by who wrote first in the window (N8).
-- grain: (record_type, record_id). inputs: conversations.
-- parameters: $record_type, $first_id, $end_id (the records to do, as in record_slices).
with
starts as (
    select record_id, thread, min(first_mark) % 2 = 1 as by_us
    from conversations
    where record_type = $record_type and record_id >= $first_id and record_id < $end_id
    group by record_id, thread
)

select
    $record_type::varchar as record_type,
    record_id,
    count(*) filter (where by_us) as conversations_started_by_us,
    count(*) filter (where not by_us) as conversations_started_by_them
from starts
group by record_id
