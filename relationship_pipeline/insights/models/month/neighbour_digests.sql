-- What the derivation uses of the months before and after, as digests that change when it does.
-- grain: one row. inputs: settled_keys, border_copies, late_copies.
with
settled as (
    select count(*) as rows, bit_xor(hash(message_key)) as digest from settled_keys
),

border as (
    select count(*) as rows, bit_xor(hash(border_copies)) as digest from border_copies
),

late as (
    select count(*) as rows, bit_xor(hash(late_copies)) as digest from late_copies
)

select
    concat_ws('-', settled.rows, settled.digest, border.rows, border.digest) as before_used,
    concat_ws('-', late.rows, late.digest) as after_used
from settled, border, late
