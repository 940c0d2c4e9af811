-- Organizer and attendees of each row by address (N1). Grain: one staged row.
-- Inputs: meeting_people, resolved(raw, address). Unresolved ones are absent and counted in `unresolved`.
with people as (
    select
        meeting_people.*,
        if(is_plain(meeting_people.raw), lower(meeting_people.raw), resolved.address) as address
    from meeting_people
    left join resolved on meeting_people.raw = resolved.raw
)

select
    filename,
    file_row_number,
    any_value(address) filter (where position = 0) as organizer_address,
    coalesce(
        list_sort(
            list_distinct(
                list({'address': address, 'type': type, 'response': response})
                    filter (where position > 0 and address is not null)
            )
        ),
        []
    ) as attendees,
    count(*) filter (where address is null and (position > 0 or raw is not null)) as unresolved
from people
group by filename, file_row_number
