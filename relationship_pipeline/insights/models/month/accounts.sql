-- Small numbers for the accounts of the month, after those of its people: a record is known by its number alone.
-- grain: account. inputs: identities, persons.
select
    ((select count(*) from persons) + row_number() over (order by account_id))::integer as account,
    account_id
from (select distinct unnest(accounts) as account_id from identities)
