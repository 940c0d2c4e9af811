-- Every address that the month's emails name.
-- grain: address. inputs: emails.
with
texts as (
    select sender as address from emails
    union all
    select unnest(recipients) from emails
)

select distinct address
from texts
where address is not null
