-- The counts of the quality record (B9) that follow from the rows of a month of emails, one row. Inputs: $files.
-- They are counted as lake/models/email_counts.sql counts them.
select
    count(*) filter (where copy_rank = 1 and not is_meeting_message) as distinct_emails,
    count(*) filter (where copy_rank > 1 and not is_meeting_message) as duplicates,
    count(*) filter (where is_meeting_message) as meeting_messages,
    count(*) filter (
        where
        copy_rank = 1
        and not is_meeting_message
        and coalesce(sent_at > received_at + interval 1 day or sent_at < received_at - interval 30 days, true)
    ) as clock_corrected,
    min(received_at) as first_at,
    max(received_at) as last_at
from read_parquet($files, hive_partitioning = false)
