-- Copies that B6 leaves out, by reason (`draft` or the folder's class).
-- Grain: one reason. Inputs: copies, repeated_copies, left_out_folders(folder_class).
select
    if(is_draft, 'draft', folder_class) as reason,
    count(*) as copies
from copies
anti join repeated_copies on copies.rowid = repeated_copies.row_number_in_copies
where is_draft or folder_class in (select folder_class from left_out_folders)
group by reason
