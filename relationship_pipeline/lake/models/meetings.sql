-- Lake tables `meetings` and `planned_meetings` (schemas.MEETINGS).
-- Grain: one copy. Inputs: ranked_meetings, $hidden (addresses that may not appear, O4-O6).
select
    meeting_key,
    mailbox,
    item_key,
    series_key,
    if(list_contains($hidden::varchar[], organizer_address), null, organizer_address) as organizer_address,
    is_organizer,
    own_response,
    list_filter(attendees, lambda a: not list_contains($hidden::varchar[], a.address)) as attendees,
    start_at,
    end_at,
    is_all_day,
    is_cancelled
from ranked_meetings
where place = 1 and drop_reason is null
order by
    start_at,
    meeting_key,
    mailbox,
    item_key
