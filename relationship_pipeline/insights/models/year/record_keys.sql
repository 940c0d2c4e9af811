-- Which record a key of stored pairs stands for.
-- grain: (record_type, record_key). inputs: contact_accounts, users.
with
known as (
    select 'contact' as record_type, contact as record_id from contact_accounts
    union
    select 'account', unnest(accounts) from contact_accounts
    union
    select 'colleague', user_id from users
)

select record_type, hash(record_id) as record_key, record_id
from known
