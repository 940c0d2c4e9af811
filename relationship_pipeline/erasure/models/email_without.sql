-- A month of emails as a collection that never saw these people would have left it (W5).
-- Grain: one copy (schemas.EMAIL). Inputs: $files, $mailboxes (whose copies go), $addresses (to go from others' copies).
-- Lakes of earlier versions hold names with addresses in them, which plain_name (lake/models/functions.sql) takes away.
-- Ranks and order are those of lake/models/ranked_copies.sql and email.sql.
with kept as (
    select
        *,
        min(received_at) over (partition by message_key) as first_received_at,
        row_number() over (partition by message_key order by received_at, mailbox, item_key)::integer as rank_left
    from read_parquet($files, hive_partitioning = false)
    where mailbox not in (select unnest($mailboxes::varchar[]))
)

select
    message_key,
    mailbox,
    item_key,
    rank_left as copy_rank,
    conversation_key,
    received_at,
    sent_at,
    if(list_contains($addresses::varchar[], from_address), null, from_address) as from_address,
    if(
        list_contains($addresses::varchar[], coalesce(from_address, sender_address)), null, plain_name(from_name)
    ) as from_name,
    if(list_contains($addresses::varchar[], sender_address), null, sender_address) as sender_address,
    list_filter(to_addresses, lambda a: not list_contains($addresses::varchar[], a)) as to_addresses,
    list_filter(cc_addresses, lambda a: not list_contains($addresses::varchar[], a)) as cc_addresses,
    folder_class,
    is_meeting_message,
    is_bulk
from kept
order by
    first_received_at,
    message_key,
    copy_rank
