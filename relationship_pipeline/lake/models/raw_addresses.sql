-- Every address as it stands in the staged rows. Grain: one text. Inputs: staged. Column: raw.
select from_address as raw
from staged
union
select sender_address
from staged
union
select unnest(to_addresses)
from staged
union
select unnest(cc_addresses)
from staged
