-- Copies held of emails; meeting messages are not emails (N6).
-- Lakes of before 2026-11-28 have no bulk flag where a source gives no headers: such mail is not bulk (B7).
-- grain: copy. inputs: month_rows (lake table email).
select * replace (coalesce(is_bulk, false) as is_bulk)
from month_rows
where not is_meeting_message
