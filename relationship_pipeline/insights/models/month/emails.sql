-- Emails as N3 and N4 define them, each once. Days are counted in microseconds: calendar arithmetic on times with a zone
-- costs more than all the rest. `mailbox` is that of the earliest copy. `email`: the email's number within the month, for
-- joins and groups; `key`: what stands for its key where replies are stored, a hash of 64 bits.
-- grain: email. inputs: telling_copies, bounds(lo, hi).
with
disputed as (
    select
        min(rowid)::integer as email,
        message_key,
        first(mailbox order by received_at, copy_rank) as mailbox,
        first(conversation_key order by received_at, copy_rank)
            filter (where conversation_key is not null) as conversation_key,
        min(received_at) as received_at,
        first(sent_at order by received_at, copy_rank) as sent_at,
        first(sender order by received_at, copy_rank) filter (where sender is not null) as sender,
        first(sender_name order by received_at, copy_rank) as sender_name,
        list_distinct(flatten(list(recipients))) as recipients,
        bool_or(is_bulk) as is_bulk,
        bool_and(is_border) as is_border
    from telling_copies
    where is_disputed
    group by message_key
),

joined as (
    select
        rowid::integer as email,
        message_key,
        mailbox,
        conversation_key,
        received_at,
        sent_at,
        sender,
        sender_name,
        recipients,
        is_bulk,
        is_border
    from telling_copies
    where not is_disputed
    union all
    select * from disputed
)

select
    email,
    hash(message_key) as key,
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
