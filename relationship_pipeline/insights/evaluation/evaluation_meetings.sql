-- evaluation_meetings: the meetings an evaluation looks at.
-- grain: one meeting row of the source with more than one participant
-- input: evaluation_meeting_source(meeting_id, start_at, organizer, attendees)
-- columns: meeting (number), start_at (UTC), participants (distinct, lower case), audience (participants but one)
create or replace temp table evaluation_meetings as
with participants as (
    select
        row_number() over () as meeting,
        timezone('UTC', cast(start_at as timestamptz)) as start_at,
        list_distinct(list_filter(
            list_transform(
                list_append(coalesce(attendees, []), organizer),
                lambda p: nullif(lower(trim(cast(p as varchar))), '')
            ),
            lambda p: p is not null
        )) as participants
    from evaluation_meeting_source
    where start_at is not null
)

select
    meeting,
    start_at,
    participants,
    len(participants) - 1 as audience
from participants
where len(participants) > 1
