-- Published: parts of the scores. grain: (record_type, record_id, component). inputs: health_component_rows.
-- parameters: $as_of.
select record_type, record_id, component, points, detail, $as_of::timestamptz as as_of
from health_component_rows
