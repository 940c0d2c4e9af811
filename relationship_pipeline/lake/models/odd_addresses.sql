-- Every address of those staged rows that hold any address which is more than plain (domain/addresses.py).
-- Grain: one address of one row. Inputs: raw_addresses, staged, read_copies. Columns: filename, file_row_number, field,
-- position, raw. The test is dear and most addresses stand in many rows, so it is the distinct ones that are tested;
-- raw_addresses is a table because DuckDB would move the test below the `union` of a CTE.
with odd as (
    select raw
    from raw_addresses
    where not is_plain(raw)
),

named as (
    select filename, file_row_number, from_address as raw
    from staged
    union all
    select filename, file_row_number, sender_address
    from staged
    union all
    select filename, file_row_number, unnest(to_addresses)
    from staged
    union all
    select filename, file_row_number, unnest(cc_addresses)
    from staged
),

odd_named as (
    select distinct named.filename, named.file_row_number
    from named
    semi join odd on named.raw = odd.raw
),

joined as (
    select
        read_copies.filename,
        read_copies.file_row_number,
        read_copies.from_address,
        read_copies.sender_address,
        read_copies.to_addresses,
        read_copies.cc_addresses
    from read_copies
    semi join odd_named
        on read_copies.filename = odd_named.filename and read_copies.file_row_number = odd_named.file_row_number
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
