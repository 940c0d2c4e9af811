-- The counts of the quality record (B9) that follow from the rows of a table of meetings, one row. Inputs: $files.
select
    count(distinct meeting_key) as distinct_meetings,
    count(*) - count(distinct meeting_key) as duplicates,
    min(start_at) as first_at,
    max(start_at) as last_at
from read_parquet($files, hive_partitioning = false)
