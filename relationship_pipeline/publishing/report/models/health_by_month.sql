-- Contacts by state of health at the end of each month.
-- grain: month, health_state; input: health_history
select
    month,
    health_state,
    count(*) as contacts
from health_history
where record_type = 'contact'
group by all
order by all
