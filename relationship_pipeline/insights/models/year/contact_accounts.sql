-- The account of each contact, and all accounts whose outside side the contact is on.
-- grain: contact. inputs: email_identities, meeting_identities, identities (of the CRM's addresses).
with
known as (
    select person, account_id, accounts from email_identities where side = 'outside'
    union all
    select person, account_id, accounts from meeting_identities where side = 'outside'
    union all
    select person, account_id, accounts from identities where side = 'outside'
)

select person as contact, any_value(account_id) as account_id, any_value(accounts) as accounts
from known
group by person
