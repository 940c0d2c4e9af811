-- Copies of this month collected by an earlier run that this run could not read again: they stay (O1).
-- Grain: one copy. Inputs: $files (the month's files so far), done(mailbox), readable(mailbox, since, until).
select
    message_key,
    mailbox,
    item_key,
    conversation_key,
    received_at,
    sent_at,
    from_address,
    from_name,
    sender_address,
    to_addresses,
    cc_addresses,
    folder_class,
    is_meeting_message,
    is_bulk,
    false as is_draft,
    0 as unresolved,
    true as is_earlier
from read_parquet($files, hive_partitioning = false) as earlier
where
    not exists (
        select 1
        from readable
        inner join done on readable.mailbox = done.mailbox
        where
            readable.mailbox = earlier.mailbox
            and earlier.received_at >= coalesce(readable.since, '-infinity'::timestamptz)
            and earlier.received_at < coalesce(readable.until, 'infinity'::timestamptz)
    )
