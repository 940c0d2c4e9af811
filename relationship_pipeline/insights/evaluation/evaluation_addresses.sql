-- evaluation_addresses: who takes part, and on which side of the company's border.
-- grain: one address
-- inputs: evaluation_messages, evaluation_meetings; $internal_domains and $internal_addresses (lists,
--   lower case, may be empty)
-- columns: id (rises with the address, so ids order like addresses), address, inside
create or replace temp table evaluation_addresses as
with seen as (
    select sender as address from evaluation_messages where sender is not null
    union
    select unnest(recipients) from evaluation_messages
    union
    select unnest(participants) from evaluation_meetings
),

with_domain as (
    select
        address,
        case when contains(address, '@') then split_part(address, '@', -1) end as domain
    from seen
)

select
    row_number() over (order by address) as id,
    address,
    address in (select unnest(cast($internal_addresses as varchar[])))
    or coalesce(
        list_bool_or(list_transform(
            cast($internal_domains as varchar[]),
            lambda d: domain = d or ends_with(domain, '.' || d)
        )),
        false
    ) as inside
from with_domain
