-- Emails whose copies do not all say the same, or whose earliest copy does not count: only these are joined from all
-- their copies; of the others the earliest copy says everything.
-- grain: message_key. inputs: copies, other_copies.
with
heads as (
    select
        message_key,
        hash(from_address, sender_address, to_addresses, cc_addresses, conversation_key, is_bulk) as fingerprint
    from copies
    where is_head
)

select distinct other_copies.message_key
from other_copies
left join heads on heads.message_key = other_copies.message_key
where heads.fingerprint is distinct from other_copies.fingerprint
