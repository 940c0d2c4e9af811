-- Stored: counts a record and day. grain: (record_type, record_id, day). inputs: days, labels.
select labels.record_type, labels.record_id, days.* exclude (record_type, record)
from days
inner join labels on labels.record_type = days.record_type and labels.record = days.record
order by days.record_type, days.record, days.day
