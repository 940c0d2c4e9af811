-- Meetings of one of us who has not declined with a contact, an account (each meeting once) or another of us (K2-K4).
-- grain: (record, colleague, meeting). inputs: meetings, meeting_people, meeting_links, members,
-- bounds(largest_audience).
with
colleagues as (
    select meeting_key, person, answer in ('organizer', 'accepted', 'tentativelyaccepted') as has_accepted
    from meeting_people
    where is_us and answer <> 'declined'
),

with_contacts as (
    select
        meeting_links.person as record,
        colleagues.person as colleague,
        meeting_links.meeting_key,
        meeting_links.start_at as happened_at,
        meeting_links.audience,
        meeting_links.has_accepted and colleagues.has_accepted as is_accepted
    from meeting_links
    inner join colleagues on colleagues.meeting_key = meeting_links.meeting_key
),

with_accounts as (
    select
        members.account as record,
        with_contacts.colleague,
        any_value(with_contacts.happened_at) as happened_at,
        any_value(with_contacts.audience) as audience,
        bool_or(with_contacts.is_accepted) as is_accepted
    from with_contacts
    inner join members on members.person = with_contacts.record
    group by members.account, with_contacts.colleague, with_contacts.meeting_key
),

audiences as (
    select meeting_key, count(*) filter (where answer <> 'organizer') as audience
    from meeting_people
    group by meeting_key
),

among_us as (
    select
        two.person as record,
        one.person as colleague,
        meetings.start_at as happened_at,
        audiences.audience,
        one.has_accepted and two.has_accepted as is_accepted
    from meetings
    inner join audiences on audiences.meeting_key = meetings.meeting_key
    inner join colleagues as one on one.meeting_key = meetings.meeting_key
    inner join colleagues as two on two.meeting_key = meetings.meeting_key and one.person < two.person
    cross join bounds
    where not meetings.is_cancelled and audiences.audience <= bounds.largest_audience
)

select record, colleague, 'meeting' as kind, happened_at, audience,
    audience <= largest_audience as is_tie, is_accepted
from with_contacts, bounds
union all
select record, colleague, 'meeting', happened_at, audience, audience <= largest_audience, is_accepted
from with_accounts, bounds
union all
select record, colleague, 'meeting', happened_at, audience, true, is_accepted
from among_us
