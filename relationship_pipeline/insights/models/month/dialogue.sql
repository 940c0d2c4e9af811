-- Emails of conversations in which both sides wrote: all that can be question or answer (N8).
-- grain: (record, key). inputs: turns, threads.
select
    turns.record,
    turns.thread,
    turns.by_us,
    turns.sent_at,
    turns.received_at,
    turns.key,
    turns.is_border
from turns
inner join threads
    on threads.record = turns.record and threads.thread = turns.thread
where not turns.is_bulk and threads.has_both_sides
