-- The three of us with most emails and meetings of a record.
-- grain: (record_type, record_id, person_email). inputs: email_pairs, meeting_pairs, crm_pairs, users.
-- parameters: $record_type, $first_id, $end_id (the records to do, as in pair_sums).
with
colleagues as (
    select record_type, record_id, user_id, emails, 0 as meetings, last_at from email_pairs
    union all by name
    select record_type, record_id, user_id, 0 as emails, meetings, last_at from meeting_pairs
    union all by name
    select record_type, record_id, user_id, emails, meetings, last_at from crm_pairs
),

sums as (
    select
        colleagues.record_id,
        users.email as person_email,
        sum_no_overflow(colleagues.emails) as emails,
        sum_no_overflow(colleagues.meetings) as meetings,
        max(colleagues.last_at) as last_contact_at
    from colleagues
    inner join users on users.user_id = colleagues.user_id
    where colleagues.record_type = $record_type
      and colleagues.record_id >= $first_id
      and colleagues.record_id < $end_id
    group by colleagues.record_id, users.email
),

-- only these are sorted: a few of each record instead of all
most as (
    select record_id, list_min(max(emails + meetings, 3)) as least
    from sums
    group by record_id
),

ranked as (
    select
        sums.*,
        row_number() over (
            partition by sums.record_id
            order by sums.emails + sums.meetings desc, sums.last_contact_at desc, sums.person_email
        ) as rank
    from sums
    inner join most on most.record_id = sums.record_id and sums.emails + sums.meetings >= most.least
)

select $record_type::varchar as record_type, record_id, person_email, emails, meetings, last_contact_at
from ranked
where rank <= 3
