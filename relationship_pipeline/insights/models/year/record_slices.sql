-- Where to cut the records of each type so that each slice has about as many (the stored pairs are sorted by record).
-- grain: (record_type, slice). inputs: contact_accounts, users. parameters: $slices.
with
everything as (
    select 'contact' as record_type, contact as record_id from contact_accounts
    union
    select 'account', unnest(accounts) from contact_accounts
    union
    select 'colleague', user_id from users
),

sliced as (
    select *, ntile($slices) over (partition by record_type order by record_id) as slice from everything
)

select record_type, slice, min(record_id) as first_id
from sliced
group by record_type, slice
order by record_type, slice
