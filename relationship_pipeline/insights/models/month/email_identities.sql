-- Stored: who the addresses of the month's emails were taken for.
-- grain: address. inputs: identities, email_addresses.
select *
from identities
where address in (select address from email_addresses)
order by address
