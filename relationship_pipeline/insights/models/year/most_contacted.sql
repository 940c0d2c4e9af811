-- Published: the three people of each side with most emails and meetings of a record.
-- grain: (record_type, record_id, side, rank). inputs: contacted_colleagues, record_keys, crm_pairs,
--   email_records, meeting_records, contact_accounts, crm_people. parameters: $as_of.
with
contact_parts as (
    select record_id as contact, emails_sent + emails_received as emails, 0 as meetings, last_mark
    from email_records
    where record_type = 'contact'
    union all
    select record_id, 0, meetings_sent + meetings_received, last_mark
    from meeting_records
    where record_type = 'contact'
),

contacts as (
    select
        contact,
        sum(emails) as emails,
        sum(meetings) as meetings,
        make_timestamptz(max(last_mark) // 8) as last_contact_at
    from contact_parts
    group by contact
),

members as (
    select unnest(accounts) as account_id, contact
    from contact_accounts
),

them as (
    select 'contact' as record_type, contact as record_id, 'them' as side, contact as person_email, emails, meetings,
        last_contact_at
    from contacts
    union all
    select 'account', members.account_id, 'them', contacts.contact, contacts.emails, contacts.meetings,
        contacts.last_contact_at
    from contacts
    inner join members on members.contact = contacts.contact
    union all by name
    select record_type, record_id, 'them' as side, contact as person_email, emails, meetings, last_at as last_contact_at
    from crm_people
),

keys as (
    select record_type, record_key, record_id from record_keys
    union
    select record_type, hash(record_id), record_id from crm_pairs
),

us as (
    select
        keys.record_type,
        keys.record_id,
        'us' as side,
        contacted_colleagues.person_email,
        contacted_colleagues.emails,
        contacted_colleagues.meetings,
        contacted_colleagues.last_contact_at
    from contacted_colleagues
    inner join keys
        on keys.record_type = contacted_colleagues.record_type
        and keys.record_key = contacted_colleagues.record_key
),

ranked as (
    select
        *,
        row_number() over (
            partition by record_type, record_id, side
            order by emails + meetings desc, last_contact_at desc, person_email
        ) as rank
    from (select * from us union all by name select * from them)
)

select
    record_type,
    record_id,
    side,
    rank,
    person_email,
    emails::bigint as emails,
    meetings::bigint as meetings,
    last_contact_at,
    $as_of::timestamptz as as_of
from ranked
where rank <= 3
