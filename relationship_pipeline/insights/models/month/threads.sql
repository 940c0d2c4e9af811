-- Conversations of a record: whose email came first, and whether both sides wrote (bulk left out, N8).
-- `first_mark` = microseconds since 1970 x 2 + by_us: the least is the earliest email of the month, theirs of two at one
-- instant; null where only border emails are in it.
-- grain: (record, thread). inputs: turns.
select
    record,
    thread,
    min(epoch_us(sent_at) * 2 + by_us::bigint) filter (where not is_border) as first_mark,
    bool_or(by_us) and bool_or(not by_us) as has_both_sides
from turns
where not is_bulk and thread is not null
group by record, thread
