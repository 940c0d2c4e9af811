-- Who is named in the read meetings. Grain: one organizer (position 0) or attendee of one row.
-- Inputs: read_meetings. Columns: filename, file_row_number, position, raw, type, response.
select
    filename,
    file_row_number,
    0 as position,
    organizer_address as raw,
    'organizer' as type,
    null as response
from read_meetings
union all
select
    filename,
    file_row_number,
    generate_subscripts(attendees, 1),
    unnest(list_transform(attendees, lambda a: a.address)),
    unnest(list_transform(attendees, lambda a: a.type)),
    unnest(list_transform(attendees, lambda a: a.response))
from read_meetings
