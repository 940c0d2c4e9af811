-- Who an address is: a user in scope by directory id, a contact by the one address that stands for the person (the CRM
-- may list several), the contact's account, and all accounts whose outside side the contact is on (N11; further ones
-- where the CRM makes somebody primary contact elsewhere). `is_watched`: a contact or lead of the CRM, whose single
-- activities are kept for its opportunities and leads.
-- grain: address. inputs: sides, crm_addresses(address, person), crm_parents(person, account_id),
--   crm_primaries(person, account_id), crm_watched(person), domain_accounts(domain, account_id).
with
persons as (
    select
        sides.address,
        sides.side,
        case
            when sides.side = 'us' then sides.user_id
            when sides.side = 'outside' then coalesce(crm_addresses.person, sides.address)
        end as person
    from sides
    left join crm_addresses on crm_addresses.address = sides.address
),

primaries as (
    select person, list(account_id) as accounts
    from crm_primaries
    group by person
),

homes as (
    select
        persons.*,
        case
            when persons.side = 'outside' then coalesce(crm_parents.account_id, domain_accounts.account_id)
        end as account_id
    from persons
    left join crm_parents on crm_parents.person = persons.person
    left join domain_accounts on domain_accounts.domain = split_part(persons.person, '@', 2)
)

select
    homes.address,
    homes.side,
    homes.person,
    homes.account_id,
    list_sort(
        list_distinct(
            list_concat(
                case when homes.account_id is null then [] else [homes.account_id] end,
                case when homes.side = 'outside' then primaries.accounts end
            )
        )
    ) as accounts,
    homes.side = 'outside' and homes.person in (select person from crm_watched) as is_watched
from homes
left join primaries on primaries.person = homes.person
