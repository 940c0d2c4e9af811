-- Public ids of the records, and directory ids of colleagues.
-- grain: record (a person's or an account's number). inputs: persons, accounts.
select person as record, if(is_us, 'colleague', 'contact') as record_type, name as record_id from persons
union all
select account, 'account', account_id from accounts
