-- Copies of listed emails. grain: copy. inputs: lake_rows (lake table email), listed_keys.
select lake_rows.*
from lake_rows
semi join main.listed_keys on listed_keys.activity = lake_rows.message_key
