-- Staged copies with keys, normalised addresses and flags (B5, B7, N1, N3).
-- Grain: one staged row. Inputs: read_copies, odd_rows. Lists are sorted and distinct, unresolved addresses counted in
-- `unresolved`. `is_off_clock`: N4 does not believe the sent time. `is_earlier`: collected by an earlier run.
with addressed as (
    select
        read_copies.*,
        if(odd_rows.filename is null, lower(read_copies.from_address), odd_rows.from_address) as from_n1,
        if(odd_rows.filename is null, lower(read_copies.sender_address), odd_rows.sender_address) as sender_n1,
        if(
            odd_rows.filename is null,
            list_transform(read_copies.to_addresses, lambda a: lower(a)),
            odd_rows.to_addresses
        ) as to_n1,
        if(
            odd_rows.filename is null,
            list_transform(read_copies.cc_addresses, lambda a: lower(a)),
            odd_rows.cc_addresses
        ) as cc_n1
    from read_copies
    left join odd_rows
        on read_copies.filename = odd_rows.filename and read_copies.file_row_number = odd_rows.file_row_number
),

listed as (
    select
        *,
        distinct_addresses(to_n1) as to_list,
        distinct_addresses(cc_n1) as cc_list,
        coalesce(len(to_n1) - list_count(to_n1), 0)
        + coalesce(len(cc_n1) - list_count(cc_n1), 0)
        + (
            coalesce(from_n1, sender_n1) is null
            and coalesce(from_address, sender_address) is not null
        )::int as unresolved
    from addressed
)

select
    key_of(
        case
            when message_id(internet_message_id) is not null then message_id(internet_message_id)
            else concat_ws(
                chr(31),
                'no message id',
                coalesce(from_n1, sender_n1, ''),
                coalesce(epoch_us(sent_at)::varchar, ''),
                array_to_string(distinct_addresses(list_concat(to_list, cc_list)), chr(31))
            )
        end
    ) as message_key,
    mailbox,
    key_of(item_id) as item_key,
    conversation_key(conversation_id, conversation_index) as conversation_key,
    received_at,
    sent_at,
    from_n1 as from_address,
    plain_name(from_name) as from_name,
    sender_n1 as sender_address,
    to_list as to_addresses,
    cc_list as cc_addresses,
    folder_class,
    is_meeting_message,
    coalesce(has_bulk_header, false)
    or if(
        coalesce(len(to_addresses), 0) + coalesce(len(cc_addresses), 0) > 50,
        len(list_distinct(list_concat(to_list, cc_list))) + unresolved > 50,
        false
    )
    or coalesce(is_bulk_sender(coalesce(from_n1, sender_n1)), false) as is_bulk,
    is_draft,
    is_off_clock(sent_at, received_at) as is_off_clock,
    unresolved,
    false as is_earlier
from listed
