-- Where to cut the records of each type so that each slice has about as many (what is stored by record is sorted by it).
-- grain: (record_type, slice). inputs: record_keys. parameters: $slices.
with
sliced as (
    select record_type, record_id, ntile($slices) over (partition by record_type order by record_id) as slice
    from record_keys
)

select record_type, slice, min(record_id) as first_id
from sliced
group by record_type, slice
order by record_type, slice
