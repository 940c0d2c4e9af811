-- Copies held of emails; meeting messages are not emails (N6).
-- grain: copy. inputs: before_rows (lake table email).
select * replace (coalesce(is_bulk, false) as is_bulk)
from before_rows
where not is_meeting_message
