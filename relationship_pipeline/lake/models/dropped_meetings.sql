-- Copies of meetings that are left out, by reason. Grain: one reason. Inputs: ranked_meetings.
select
    drop_reason as reason,
    count(*) as copies
from ranked_meetings
where place = 1 and drop_reason is not null
group by drop_reason
