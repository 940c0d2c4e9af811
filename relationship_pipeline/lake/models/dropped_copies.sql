-- Copies of emails that the month's rows do not show: left out by B6 (`draft` or the folder's class), or not in scope. Rows
-- that repeat a copy are that copy (B5).
-- Grain: (mailbox, reason). Inputs: copies, repeated_copies, left_out_folders(folder_class), not_in_scope(mailbox, copies).
select
    copies.mailbox,
    if(copies.is_draft, 'draft', copies.folder_class) as reason,
    count(*) as copies
from copies
anti join repeated_copies on copies.rowid = repeated_copies.row_number_in_copies
where copies.is_draft or copies.folder_class in (select folder_class from left_out_folders)
group by copies.mailbox, reason
union all
select
    mailbox,
    'not_in_scope',
    copies
from not_in_scope
