-- Copies held of emails; meeting messages are not emails (N6).
-- grain: copy. inputs: after_rows (lake table email).
select * replace (coalesce(is_bulk, false) as is_bulk)
from after_rows
where not is_meeting_message
