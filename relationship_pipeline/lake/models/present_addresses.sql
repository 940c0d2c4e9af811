-- Every address of this month's copies: view present of emails. Grain: one address. Inputs: copies.
select from_address as address
from copies
where from_address is not null
union
select sender_address
from copies
where sender_address is not null
union
select unnest(to_addresses)
from copies
union
select unnest(cc_addresses)
from copies
