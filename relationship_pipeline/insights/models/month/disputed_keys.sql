-- Emails whose copies do not all say the same, or whose earliest copy does not count: only these are joined from all
-- their copies; of the others the earliest copy says everything. By a 64-bit hash of the key: of two emails with one hash
-- both are joined from their copies, which is as right and only slower.
-- grain: key. inputs: copies.
with
fingerprints as (
    select
        hash(message_key) as key,
        is_head,
        hash(from_address, sender_address, to_addresses, cc_addresses, conversation_key, is_bulk) as fingerprint
    from copies
)

select key
from fingerprints
group by key
having min(fingerprint) <> max(fingerprint) or not bool_or(is_head)
