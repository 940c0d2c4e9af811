-- Ties that a user hid or marked wrong, so that they are not shown (K7). A mark on a company also covers the ties to its
-- contacts; a company's tie goes with it, or when none of the colleague's ties to the company's contacts is left.
-- grain: (record_type, record_key, user_key). inputs: tie_marks, scored_pairs, record_keys, contact_accounts, identities (of
-- the CRM's addresses: a mark on any address of a contact is one on the contact).
with
marks as (
    select tie_marks.* replace (coalesce(identities.person, tie_marks.subject) as subject)
    from tie_marks
    left join identities on identities.address = tie_marks.subject and tie_marks.kind = 'contact'
),

contacts as (
    select
        records.record_id,
        marks.user_id,
        contact_accounts.all_accounts as accounts,
        bool_or(
            case marks.kind
                when 'contact' then marks.subject = records.record_id
                when 'company' then coalesce(list_contains(contact_accounts.all_accounts, marks.account_id), false)
                    or ends_with('.' || split_part(records.record_id, '@', 2), '.' || marks.subject)
                else false
            end
        ) as is_hidden
    from scored_pairs as pairs
    inner join marks on hash(marks.user_id) = pairs.user_key
    inner join record_keys as records
        on records.record_type = 'contact' and records.record_key = pairs.record_key
    left join contact_accounts on contact_accounts.contact = records.record_id
    where pairs.record_type = 'contact'
      and (pairs.emails_sent > 0 or pairs.accepted > 0)
    group by records.record_id, marks.user_id, contact_accounts.all_accounts
),

without_contacts as (
    select account_id, user_id
    from (select unnest(accounts) as account_id, user_id, is_hidden from contacts)
    group by account_id, user_id
    having bool_and(is_hidden)
),

hidden as (
    select 'contact' as record_type, record_id, user_id
    from contacts
    where is_hidden
    union
    select 'account', account_id, user_id
    from without_contacts
    union
    select 'account', account_id, user_id
    from marks
    where kind = 'company'
    union
    select 'colleague', subject, user_id
    from marks
    where kind = 'colleague'
    union
    select 'colleague', user_id, subject
    from marks
    where kind = 'colleague'
)

select record_type, hash(record_id) as record_key, hash(user_id) as user_key
from hidden
