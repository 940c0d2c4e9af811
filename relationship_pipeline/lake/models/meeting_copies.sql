-- Staged copies of meetings with keys and addresses (B7, N1, N10). Grain: one staged row.
-- Inputs: read_meetings, resolved_people, $include_private. `drop_reason`: why B6 leaves the copy out, else null.
select
    key_of(
        concat_ws(
            chr(31),
            coalesce(nullif(trim(read_meetings.ical_uid), ''), read_meetings.mailbox || chr(31) || read_meetings.item_id),
            epoch_us(read_meetings.start_at)::varchar
        )
    ) as meeting_key,
    read_meetings.mailbox,
    key_of(read_meetings.item_id) as item_key,
    key_of(nullif(read_meetings.series_id, '')) as series_key,
    resolved_people.organizer_address,
    read_meetings.is_organizer,
    nullif(read_meetings.own_response, '') as own_response,
    resolved_people.attendees,
    read_meetings.start_at,
    read_meetings.end_at,
    read_meetings.is_all_day,
    read_meetings.is_cancelled,
    case
        when read_meetings.event_type = 'seriesMaster' then 'series_master'
        when read_meetings.is_draft then 'draft'
        when lower(read_meetings.sensitivity) in ('private', 'confidential') and not $include_private then 'private'
    end as drop_reason,
    resolved_people.unresolved,
    false as is_earlier
from read_meetings
inner join resolved_people
    on
        read_meetings.filename = resolved_people.filename
        and read_meetings.file_row_number = resolved_people.file_row_number
