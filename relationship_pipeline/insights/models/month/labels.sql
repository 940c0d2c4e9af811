-- Public ids of the records, and directory ids of colleagues. `key` as in persons.
-- grain: record (a person's or an account's number). inputs: persons, accounts.
select person as record, if(is_us, 'colleague', 'contact') as record_type, name as record_id, key as record_key from persons
union all
select account, 'account', account_id, hash(account_id) from accounts
