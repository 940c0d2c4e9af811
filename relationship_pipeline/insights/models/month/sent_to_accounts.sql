-- Emails that we sent to people of an account, each once, with how many of them it names (N9, N11).
-- grain: (account, email). inputs: named, members.
select
    members.account,
    named.email,
    any_value(named.key) as key,
    any_value(named.thread) as thread,
    any_value(named.received_at) as received_at,
    any_value(named.sent_at) as sent_at,
    any_value(named.sender) as sender,
    any_value(named.audience) as audience,
    bool_or(named.is_bulk) as is_bulk,
    bool_or(named.is_border) as is_border,
    count(*) as contacts
from named
inner join members on members.person = named.person
where named.by_us and not named.is_us
group by members.account, named.email
