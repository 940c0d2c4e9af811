-- Which contact belongs to which account.
-- grain: (person, account). inputs: identities, persons, accounts.
with
opened as (
    select distinct person as name, unnest(accounts) as account_id
    from identities
    where side = 'outside'
)

select persons.person, accounts.account
from opened
inner join persons on persons.name = opened.name and not persons.is_us
inner join accounts on accounts.account_id = opened.account_id
