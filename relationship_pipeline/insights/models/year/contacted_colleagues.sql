-- The three of us with most emails and meetings of a record.
-- grain: (record_type, record_key, person_email). inputs: email_pairs, meeting_pairs, crm_pairs, users.
-- parameters: $record_type, $first_key, $last_key (the records to do, as in pair_sums).
with
colleagues as (
    select record_type, record_key, user_key, emails, 0 as meetings, last_at from email_pairs
    union all
    select record_type, record_key, user_key, 0, meetings, last_at from meeting_pairs
    union all
    select record_type, hash(record_id), hash(user_id), emails, meetings, last_at from crm_pairs
),

sums as (
    select
        record_key,
        user_key,
        sum_no_overflow(emails) as emails,
        sum_no_overflow(meetings) as meetings,
        max(last_at) as last_contact_at
    from colleagues
    where record_type = $record_type and record_key between $first_key::ubigint and $last_key::ubigint
    group by record_key, user_key
),

named as (
    select sums.record_key, users.email as person_email, sums.emails, sums.meetings, sums.last_contact_at
    from sums
    inner join users on users.user_key = sums.user_key
),

-- only these are sorted: a few of each record instead of all
most as (
    select record_key, list_min(max(emails + meetings, 3)) as least
    from named
    group by record_key
),

ranked as (
    select
        named.*,
        row_number() over (
            partition by named.record_key
            order by named.emails + named.meetings desc, named.last_contact_at desc, named.person_email
        ) as rank
    from named
    inner join most on most.record_key = named.record_key and named.emails + named.meetings >= most.least
)

select $record_type::varchar as record_type, record_key, person_email, emails, meetings, last_contact_at
from ranked
where rank <= 3
