-- The copies that stay, in their email's order; where the month holds more emails than the cap, the newest stay (B2).
-- Grain: one copy. Inputs: copies, repeated_copies, left_out_folders(folder_class), $cap (emails, meeting messages not
-- counted).
-- Columns: row_number_in_copies, first_received_at (the email's, in this month), copy_rank, is_meeting_message (the
-- email's), is_left_out (by the cap), and what is counted.
with kept as (
    select
        copies.rowid as row_number_in_copies,
        message_key,
        mailbox,
        item_key,
        received_at,
        is_meeting_message,
        is_off_clock,
        unresolved,
        is_earlier
    from copies
    anti join left_out_folders on copies.folder_class = left_out_folders.folder_class
    anti join repeated_copies on copies.rowid = repeated_copies.row_number_in_copies
    where not is_draft
),

emails as (
    select
        message_key,
        min(received_at) as first_received_at,
        bool_or(is_meeting_message) as is_meeting_message
    from kept
    group by message_key
),

newest as (
    select
        *,
        row_number() over (
            partition by is_meeting_message
            order by first_received_at desc, message_key
        ) as place
    from emails
)

select
    kept.row_number_in_copies,
    newest.first_received_at,
    row_number() over (
        partition by kept.message_key
        order by kept.received_at, kept.mailbox, kept.item_key
    )::integer as copy_rank,
    newest.is_meeting_message,
    newest.place > $cap and not newest.is_meeting_message as is_left_out,
    kept.received_at,
    kept.is_off_clock,
    kept.unresolved,
    kept.is_earlier
from kept
inner join newest on kept.message_key = newest.message_key
