-- The rows of odd_addresses with their addresses resolved.
-- Grain: one staged row. Inputs: odd_addresses, resolved(raw, address). Lists keep their unresolved members as null.
select
    odd_addresses.filename,
    odd_addresses.file_row_number,
    any_value(resolved.address) filter (where field = 'from') as from_address,
    any_value(resolved.address) filter (where field = 'sender') as sender_address,
    list(resolved.address order by position) filter (where field = 'to') as to_addresses,
    list(resolved.address order by position) filter (where field = 'cc') as cc_addresses
from odd_addresses
left join resolved on odd_addresses.raw = resolved.raw
group by odd_addresses.filename, odd_addresses.file_row_number
