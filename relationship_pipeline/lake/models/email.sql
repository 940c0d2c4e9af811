-- The month's file: lake table `email` (schemas.EMAIL).
-- Grain: one copy. Inputs: copies, ranked_copies, $hidden (addresses that may not appear, O4-O6).
select
    copies.message_key,
    copies.mailbox,
    copies.item_key,
    ranked_copies.copy_rank,
    copies.conversation_key,
    copies.received_at,
    copies.sent_at,
    if(list_contains($hidden::varchar[], copies.from_address), null, copies.from_address) as from_address,
    if(
        list_contains($hidden::varchar[], coalesce(copies.from_address, copies.sender_address)), null, copies.from_name
    ) as from_name,
    if(list_contains($hidden::varchar[], copies.sender_address), null, copies.sender_address) as sender_address,
    if(
        list_has_any(copies.to_addresses, $hidden::varchar[]),
        list_filter(copies.to_addresses, lambda a: not list_contains($hidden::varchar[], a)),
        copies.to_addresses
    ) as to_addresses,
    if(
        list_has_any(copies.cc_addresses, $hidden::varchar[]),
        list_filter(copies.cc_addresses, lambda a: not list_contains($hidden::varchar[], a)),
        copies.cc_addresses
    ) as cc_addresses,
    copies.folder_class,
    ranked_copies.is_meeting_message,
    copies.is_bulk
from copies
inner join ranked_copies on copies.rowid = ranked_copies.row_number_in_copies
where not ranked_copies.is_left_out
order by
    ranked_copies.first_received_at,
    copies.message_key,
    ranked_copies.copy_rank
