-- evaluation_events: every message and meeting that makes a pair.
-- grain: one (pair, message) or (pair, meeting)
-- inputs: evaluation_messages, evaluation_meetings, evaluation_addresses;
--   $directed: pairs are (inside, outside) only, else unordered pairs of all addresses; $largest_audience
-- columns: a, b (address ids: inside and outside, or the smaller and the greater), kind, sent_at (UTC), audience,
--   message (null for a meeting)
-- Mail to oneself and to more than $largest_audience recipients makes no pair (K8).
create or replace temp table evaluation_events as
with sent as (
    select message, sent_at, sender, unnest(recipients) as recipient, audience
    from evaluation_messages
    where audience <= $largest_audience and sender is not null
),

message_sides as (
    select
        sent.message,
        sent.sent_at,
        sent.audience,
        s.id as sender_id,
        r.id as recipient_id,
        case when $directed then s.inside else s.id < r.id end as outward,
        not $directed or s.inside <> r.inside as counts
    from sent
    inner join evaluation_addresses as s on s.address = sent.sender
    inner join evaluation_addresses as r on r.address = sent.recipient
    where s.id <> r.id
),

met as (
    select meeting, start_at, unnest(participants) as participant, audience
    from evaluation_meetings
    where audience <= $largest_audience
),

participants as (
    select met.meeting, met.start_at, met.audience, p.id, p.inside
    from met
    inner join evaluation_addresses as p on p.address = met.participant
)

select
    case when outward then sender_id else recipient_id end as a,
    case when outward then recipient_id else sender_id end as b,
    case when outward then 'outward' else 'inward' end as kind,
    sent_at,
    audience,
    message
from message_sides
where counts
union all
select
    one.id,
    other.id,
    'meeting',
    one.start_at,
    one.audience,
    null
from participants as one
inner join participants as other
    on one.meeting = other.meeting
    and case when $directed then one.inside and not other.inside else one.id < other.id end
