-- Conversations of a record: whose email came first, and whether both sides wrote (bulk left out, N8).
-- `starts`: earliest own email of the month, null where only border emails are in it.
-- grain: (record, thread). inputs: turns.
select
    record,
    thread,
    min({'happened_at': sent_at, 'message_key': message_key, 'by_us': by_us}) filter (where not is_border) as starts,
    bool_or(by_us) and bool_or(not by_us) as has_both_sides
from turns
where not is_bulk and thread is not null
group by record, thread
