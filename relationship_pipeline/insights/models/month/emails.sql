-- Emails as N3 and N4 define them, each once. Days are counted in microseconds: calendar arithmetic on times with a zone
-- costs more than all the rest. `mailbox` is that of the earliest copy. The lists of the lake are distinct by themselves.
-- grain: message_key. inputs: copies, disputed_keys, bounds(lo, hi).
with
undisputed as (
    select
        message_key,
        mailbox,
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
        is_border
    from copies
    where is_head and message_key not in (select message_key from disputed_keys)
),

disputed as (
    select
        message_key,
        first(mailbox order by received_at, mailbox, item_key) as mailbox,
        first(conversation_key order by received_at, mailbox, item_key)
            filter (where conversation_key is not null) as conversation_key,
        min(received_at) as received_at,
        first(sent_at order by received_at, mailbox, item_key) as sent_at,
        first(coalesce(from_address, sender_address) order by received_at, mailbox, item_key)
            filter (where coalesce(from_address, sender_address) is not null) as sender,
        first(if(from_address is null, null, from_name) order by received_at, mailbox, item_key) as sender_name,
        list_distinct(flatten(list(list_concat(to_addresses, cc_addresses)))) as recipients,
        bool_or(is_bulk) as is_bulk,
        bool_and(is_border) as is_border
    from copies
    where message_key in (select message_key from disputed_keys)
    group by message_key
),

joined as (
    select * from undisputed
    union all
    select * from disputed
)

select
    message_key,
    mailbox,
    conversation_key,
    received_at,
    case
        when epoch_us(sent_at) - epoch_us(received_at) not between -2_592_000_000_000 and 86_400_000_000
            then received_at
        else coalesce(sent_at, received_at)
    end as sent_at,
    sender,
    sender_name,
    recipients,
    is_bulk,
    is_border
from joined, bounds
where is_border or (received_at >= lo and received_at < hi)
