-- How many contacts `introducer` asks about at one cut: known before it and in touch with anyone inside after it. Where
-- only colleagues without an earlier tie were in touch, no ranking can hit; the case counts as a miss.
-- grain: one row with one column, cases
-- inputs: evaluation_events, evaluation_ties; $cut (UTC)
with in_touch as (
    select distinct b
    from evaluation_events
    where kind <> 'meeting' and sent_at >= $cut and sent_at < cast($cut as timestamp) + interval 60 days
)

select count(*) as cases
from in_touch
semi join evaluation_ties as known on known.b = in_touch.b
