-- Rows that repeat a copy: the same (mailbox, item), as in Message_v1 beside SentItem_v1 (B5).
-- Grain: one row of copies to leave out. Inputs: copies. Sent goes before draft, a known folder before an unknown one;
-- the other columns only make the choice the same whatever the order of rows.
with repeated as (
    select
        mailbox,
        item_key
    from copies
    group by mailbox, item_key
    having count(*) > 1
),

numbered as (
    select
        copies.rowid as row_number_in_copies,
        row_number() over (
            partition by copies.mailbox, copies.item_key
            order by
                is_draft,
                folder_class in ('unknown', 'other'),
                received_at,
                message_key,
                conversation_key nulls last,
                sent_at nulls last,
                folder_class,
                is_meeting_message desc,
                is_bulk desc,
                from_address,
                sender_address,
                from_name,
                to_addresses,
                cc_addresses
        ) as place
    from copies
    inner join repeated on copies.mailbox = repeated.mailbox and copies.item_key = repeated.item_key
)

select row_number_in_copies
from numbered
where place > 1
