-- The account of each contact, and all accounts whose outside side the contact is on, without hidden ones: whom the CRM
-- gives a suppressed company has no account, and not that of the own domain instead. `all_accounts`: hidden ones too, for
-- what people said about a company still holds for its contacts.
-- grain: contact. inputs: email_identities, meeting_identities, identities (of the CRM's addresses), hidden_accounts.
with
known as (
    select person, account_id, accounts from email_identities where side = 'outside'
    union all
    select person, account_id, accounts from meeting_identities where side = 'outside'
    union all
    select person, account_id, accounts from identities where side = 'outside'
),

contacts as (
    select person as contact, any_value(account_id) as account_id, any_value(accounts) as all_accounts
    from known
    group by person
),

hidden as (
    select coalesce(list(account_id), []) as accounts
    from hidden_accounts
)

select
    contacts.contact,
    case when not list_contains(hidden.accounts, contacts.account_id) then contacts.account_id end as account_id,
    list_filter(contacts.all_accounts, lambda account: not list_contains(hidden.accounts, account)) as accounts,
    contacts.all_accounts
from contacts
cross join hidden
