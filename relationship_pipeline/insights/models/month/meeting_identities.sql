-- Stored: who the addresses of the month's meetings were taken for.
-- grain: address. inputs: identities, meeting_addresses.
select *
from identities
where address in (select address from meeting_addresses)
order by address
