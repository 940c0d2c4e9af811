-- Every address of these meetings: view present of meetings. Grain: one address. Inputs: meeting_copies.
select organizer_address as address
from meeting_copies
where organizer_address is not null
union
select unnest(list_transform(attendees, lambda a: a.address))
from meeting_copies
