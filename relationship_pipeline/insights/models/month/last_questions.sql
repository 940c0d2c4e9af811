-- Stored: emails sent in the last 168 hours of the month or of what is held of it. An email that is not answered counts
-- in a response rate only when it is 168 hours old (N8); those that can be younger at an `as_of` from which this month
-- is seen are here.
-- grain: (record_type, record_id, question). inputs: turns, labels, month_copies, bounds.
with
ends as (
    select least(max(received_at), any_value(bounds.hi)) as last_at
    from month_copies, bounds
)

select
    labels.record_type,
    labels.record_id,
    turns.by_us,
    turns.key as question,
    turns.sent_at
from turns
cross join ends
inner join labels on labels.record = turns.record
where not turns.is_bulk and not turns.is_border and epoch_us(turns.sent_at) > epoch_us(ends.last_at) - 604_800_000_000
order by turns.record, question
