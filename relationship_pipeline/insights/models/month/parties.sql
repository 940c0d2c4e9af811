-- Addresses of people who count, with the person's number.
-- grain: address. inputs: identities, persons.
select
    identities.address,
    persons.person,
    persons.is_us,
    count(*) over (partition by persons.person) > 1 as has_aliases
from identities
inner join persons on persons.name = identities.person and persons.is_us = (identities.side = 'us')
where identities.side in ('us', 'outside')
