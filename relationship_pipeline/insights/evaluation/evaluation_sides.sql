-- What was read, to refuse early what cannot be evaluated.
-- grain: one row
-- inputs: evaluation_messages, evaluation_addresses
-- columns: messages, inside (addresses), outside (addresses)
select
    (select count(*) from evaluation_messages) as messages,
    count(*) filter (inside) as inside,
    count(*) filter (not inside) as outside
from evaluation_addresses
