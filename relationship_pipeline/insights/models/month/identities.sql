-- Who an address is: a user in scope by directory id, a contact by the one address that stands for the person (the CRM
-- may list several), and the accounts of a contact (N11; two where the CRM makes somebody primary contact elsewhere).
-- grain: address. inputs: sides, crm_addresses(address, person), crm_members(person, account_id),
--   domain_accounts(domain, account_id).
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

crm_accounts as (
    select person, list_sort(list(account_id)) as accounts
    from crm_members
    group by person
)

select
    persons.address,
    persons.side,
    persons.person,
    case
        when persons.side <> 'outside' then null
        when crm_accounts.accounts is not null then crm_accounts.accounts
        when domain_accounts.account_id is not null then [domain_accounts.account_id]
    end as accounts
from persons
left join crm_accounts on crm_accounts.person = persons.person
left join domain_accounts on domain_accounts.domain = split_part(persons.person, '@', 2)
