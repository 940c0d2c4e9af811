-- Copies held of emails; meeting messages are not emails (N6).
-- grain: copy. inputs: month_rows (lake table email).
select *
from month_rows
where not is_meeting_message
