-- Meetings, each once (N10). The organizer's copy tells organizer, times and answers, else the first copy does. A
-- meeting is cancelled when any copy says so.
-- grain: meeting_key. inputs: month_meetings, identities, bounds(lo, hi).
with
copies as (
    select
        month_meetings.*,
        identities.side as organizer_side,
        identities.person as organizer,
        month_meetings.is_organizer or coalesce(identities.person = month_meetings.mailbox, false) as is_own
    from month_meetings
    left join identities on identities.address = month_meetings.organizer_address and identities.side <> 'hidden'
)

select
    meeting_key,
    start_at,
    first(end_at order by is_own desc, mailbox, item_key) as end_at,
    first(is_all_day order by is_own desc, mailbox, item_key) as is_all_day,
    bool_or(is_cancelled) as is_cancelled,
    first(organizer_side order by is_own desc, mailbox, item_key) as organizer_side,
    first(organizer order by is_own desc, mailbox, item_key) as organizer,
    first(case when is_own then attendees end order by is_own desc, mailbox, item_key) as organizer_attendees
from copies, bounds
where start_at >= lo and start_at < hi
group by meeting_key, start_at
