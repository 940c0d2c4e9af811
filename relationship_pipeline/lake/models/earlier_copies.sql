-- Copies of this month collected by an earlier run that this run could not read again: they stay (O1).
-- Grain: one copy. Inputs: $files (the month's files so far), copies, read_again.
select
    message_key,
    mailbox,
    item_key,
    conversation_key,
    received_at,
    sent_at,
    from_address,
    plain_name(from_name) as from_name,
    sender_address,
    to_addresses,
    cc_addresses,
    folder_class,
    is_meeting_message,
    coalesce(is_bulk, false) as is_bulk,
    false as is_draft,
    is_off_clock(sent_at, received_at) as is_off_clock,
    0 as unresolved,
    true as is_earlier
from read_parquet($files, hive_partitioning = false) as earlier
anti join read_again
    on
        earlier.mailbox = read_again.mailbox
        and earlier.received_at >= coalesce(read_again.since, '-infinity'::timestamptz)
        and earlier.received_at < coalesce(read_again.until, 'infinity'::timestamptz)
anti join copies on earlier.mailbox = copies.mailbox and earlier.item_key = copies.item_key
