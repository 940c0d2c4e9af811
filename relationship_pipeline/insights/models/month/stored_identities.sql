-- Stored as `email_identities` and `meeting_identities`: who the month's addresses were taken for.
-- grain: address. inputs: identities.
select *
from identities
order by address
