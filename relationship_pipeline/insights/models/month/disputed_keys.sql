-- Emails whose copies do not all say the same, or whose earliest copy does not count: only these are joined from all
-- their copies; of the others the earliest copy says everything.
-- grain: message_key. inputs: copies.
with
fingerprints as (
    select
        message_key,
        is_head,
        hash(from_address, sender_address, to_addresses, cc_addresses, conversation_key, is_bulk) as fingerprint
    from copies
)

select message_key
from fingerprints
group by message_key
having min(fingerprint) <> max(fingerprint) or not bool_or(is_head)
