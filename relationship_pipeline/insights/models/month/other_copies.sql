-- Copies besides an email's earliest one, with what they may say differently.
-- grain: copy. inputs: copies.
select
    message_key,
    mailbox,
    hash(from_address, sender_address, to_addresses, cc_addresses, conversation_key, is_bulk) as fingerprint
from copies
where not is_head
