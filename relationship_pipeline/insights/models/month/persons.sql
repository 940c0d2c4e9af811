-- Small numbers for the people of the month, so that the large steps group by integers; the accounts' follow theirs, no two
-- alike. All users in scope are there: a mailbox holds mail that does not name its owner. Numbers are in the order of
-- names, so that stored rows can be sorted by number. `key`: what stands for the name where pairs are stored, a hash of 64 bits
-- (of half a million names two are alike once in 150 million tenants).
-- grain: person. inputs: identities, people.
with
everyone as (
    select distinct true as is_us, user_id as name, false as is_watched from people where in_scope and not hidden
    union
    select distinct side = 'us', person, is_watched from identities where side in ('us', 'outside')
)

select (row_number() over (order by is_us, name))::integer as person, hash(name) as key, is_us, name, is_watched
from everyone
