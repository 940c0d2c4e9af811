-- Every address of those staged rows that hold any address which is more than plain (domain/addresses.py).
-- Grain: one address of one row. Inputs: read_copies. Columns: filename, file_row_number, field, position, raw.
with joined as (
    select
        filename,
        file_row_number,
        from_address,
        sender_address,
        to_addresses,
        cc_addresses
    from read_copies
    where
        not (
            coalesce(is_plain(from_address), true)
            and coalesce(is_plain(sender_address), true)
            and len(list_filter(to_addresses, lambda a: not is_plain(a))) = 0
            and len(list_filter(cc_addresses, lambda a: not is_plain(a))) = 0
        )
)

select
    filename,
    file_row_number,
    'from' as field,
    1 as position,
    from_address as raw
from joined
union all
select
    filename,
    file_row_number,
    'sender',
    1,
    sender_address
from joined
union all
select
    filename,
    file_row_number,
    'to',
    generate_subscripts(to_addresses, 1),
    unnest(to_addresses)
from joined
union all
select
    filename,
    file_row_number,
    'cc',
    generate_subscripts(cc_addresses, 1),
    unnest(cc_addresses)
from joined
