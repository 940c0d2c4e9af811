-- Public ids of the records, and directory ids of colleagues.
-- grain: (record_type, record). inputs: persons, accounts.
select 'contact' as record_type, person as record, name as record_id from persons where not is_us
union all
select 'colleague', person, name from persons where is_us
union all
select 'account', account, account_id from accounts
