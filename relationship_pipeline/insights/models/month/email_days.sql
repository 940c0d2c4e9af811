-- Stored: counts a record and day. grain: (record_type, record_id, day). inputs: days, labels.
select labels.record_type, labels.record_id, days.* exclude (record)
from days
inner join labels on labels.record = days.record
order by days.record, days.day
