-- Stored: meetings of one of us who has not declined with a contact, or with an account's people each meeting once.
-- `accepted`: both sides accepted (K2). Sums as in email_pairs.
-- grain: (record_type, record_id, user_id). inputs: meeting_links, meeting_people, members, labels, persons.
-- parameters: as email_pairs.
with
contacts as (
    select
        'contact' as record_type,
        meeting_links.person as record,
        colleague.person as colleague,
        meeting_links.meeting_key,
        meeting_links.start_at,
        meeting_links.audience,
        meeting_links.has_accepted and colleague.answer in ('organizer', 'accepted', 'tentativelyaccepted') as is_accepted
    from meeting_links
    inner join meeting_people as colleague on colleague.meeting_key = meeting_links.meeting_key
    where colleague.is_us and colleague.answer <> 'declined'
),

accounts as (
    select
        'account' as record_type,
        members.account as record,
        contacts.colleague,
        contacts.meeting_key,
        any_value(contacts.start_at) as start_at,
        any_value(contacts.audience) as audience,
        bool_or(contacts.is_accepted) as is_accepted
    from contacts
    inner join members on members.person = contacts.record
    group by members.account, contacts.colleague, contacts.meeting_key
),

meetings_of_both as (
    select * from contacts
    union all by name
    select * from accounts
),

weighted as (
    select
        *,
        (epoch_us($month_end::timestamptz) - epoch_us(start_at)) / 86_400_000_000 as age,
        case
            when audience > $audience_limit then 0
            when audience > $full_audience then $full_audience / audience
            else 1
        end * 1_099_511_627_776 as weight
    from meetings_of_both
),

pairs as (
    select
        record_type,
        record,
        colleague,
        count(*) as meetings,
        count(*) filter (where is_accepted) as accepted,
        min(start_at) as first_at,
        max(start_at) as last_at,
        sum(round(weight * pow(0.5, age / $short_days))::bigint)::bigint as sum_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint)::bigint as sum_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint)::bigint as sum_long
    from weighted
    group by record_type, record, colleague
)

select labels.record_type, labels.record_id, persons.name as user_id, pairs.* exclude (record_type, record, colleague)
from pairs
inner join labels on labels.record_type = pairs.record_type and labels.record = pairs.record
inner join persons on persons.person = pairs.colleague
order by labels.record_type, labels.record_id, persons.name
