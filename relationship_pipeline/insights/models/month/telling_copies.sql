-- The copies that say what an email is: the earliest of each, and all of those whose copies differ. One scan of the wide
-- rows. The lists of the lake are distinct by themselves.
-- grain: copy. inputs: copies, disputed_keys.
with
marked as (
    select *, hash(message_key) in (select key from disputed_keys) as is_disputed
    from copies
)

select
    message_key,
    mailbox,
    copy_rank,
    conversation_key,
    received_at,
    sent_at,
    coalesce(from_address, sender_address) as sender,
    if(from_address is null, null, from_name) as sender_name,
    case
        when len(cc_addresses) = 0 then to_addresses
        when len(to_addresses) = 0 then cc_addresses
        else list_distinct(list_concat(to_addresses, cc_addresses))
    end as recipients,
    is_bulk,
    is_border,
    is_disputed
from marked
where is_head or is_disputed
