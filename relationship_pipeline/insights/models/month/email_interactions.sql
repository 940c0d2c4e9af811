-- Emails between one of us and a contact, an account (each email once) or another of us, for ties (K2-K4). Only people
-- named in To or Cc count. record: a contact's, an account's or the other one's number.
-- grain: (record, colleague, email). inputs: named, sent_to_accounts, members, bounds(largest_audience).
select
    case when by_us then person else sender end as record,
    case when by_us then sender else person end as colleague,
    case when by_us then 'outward' else 'inward' end as kind,
    sent_at as happened_at,
    audience,
    audience <= largest_audience as is_tie,
    false as is_accepted
from named, bounds
where by_us <> is_us and not is_border
union all
select members.account, named.person, 'inward', named.sent_at, named.audience,
    named.audience <= largest_audience, false
from bounds, named
inner join members on members.person = named.sender
where not named.by_us and not named.is_border
union all
select account, sender, 'outward', sent_at, audience, audience <= largest_audience, false
from sent_to_accounts, bounds
where not is_border
union all
select greatest(sender, person), least(sender, person),
    case when sender < person then 'outward' else 'inward' end, sent_at, audience, true, false
from named, bounds
where by_us and is_us and sender <> person and not is_border and audience <= largest_audience
