-- Every address that the month's emails and meetings name.
-- grain: address. inputs: email_addresses, meeting_addresses.
select address from email_addresses
union
select address from meeting_addresses
