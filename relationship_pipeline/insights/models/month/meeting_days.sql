-- Stored: meetings a record and day. grain: (record_type, record_id, day). inputs: meeting_day_sums, labels.
select labels.record_type, labels.record_id, meeting_day_sums.* exclude (record)
from meeting_day_sums
inner join labels on labels.record = meeting_day_sums.record
order by meeting_day_sums.record, meeting_day_sums.day
