-- Copies of listed meetings. grain: copy. inputs: lake_rows (lake table meetings), listed_keys.
select lake_rows.*
from lake_rows
semi join main.listed_keys on listed_keys.activity = lake_rows.meeting_key
