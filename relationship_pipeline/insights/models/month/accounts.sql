-- Small numbers for the accounts of the month.
-- grain: account. inputs: identities.
select (row_number() over (order by account_id))::integer as account, account_id
from (select distinct unnest(accounts) as account_id from identities)
