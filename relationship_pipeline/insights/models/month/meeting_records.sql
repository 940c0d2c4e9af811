-- Stored: the month's sums a record. grain: (record_type, record_id). inputs: meeting_day_sums, labels.
with
sums as (
    select
        record,
        sum(meetings_sent)::bigint as meetings_sent,
        sum(meetings_received)::bigint as meetings_received,
        sum(team_micros)::bigint as team_micros,
        sum(customer_micros)::bigint as customer_micros,
        min(first_at) as first_at,
        max(last_mark) as last_mark
    from meeting_day_sums
    group by record
)

select labels.record_type, labels.record_id, sums.* exclude (record)
from sums
inner join labels on labels.record = sums.record
order by sums.record
