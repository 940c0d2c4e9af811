-- evaluation_events: every message and meeting that makes a pair.
-- grain: one (pair, message) or (pair, meeting)
-- inputs: evaluation_messages, evaluation_meetings, evaluation_addresses;
--   $directed: pairs are (inside, outside) only, else unordered pairs of all addresses; $largest_audience
-- columns: a, b (address ids: inside and outside, or the smaller and the greater), kind, sent_at (UTC), audience,
--   message and conversation (null for a meeting), meeting (null for a message)
-- Mail to oneself and to more than $largest_audience recipients makes no pair (K8).
create or replace temp table evaluation_events as
-- Materialized steps: joined in one, the optimizer would pair all inside with all outside addresses first.
with sent as materialized (
    select
        messages.message,
        messages.sent_at,
        messages.audience,
        messages.conversation,
        senders.id as sender_id,
        senders.inside as sender_inside,
        unnest(messages.recipients) as recipient
    from evaluation_messages as messages
    inner join evaluation_addresses as senders on senders.address = messages.sender
    where messages.audience <= $largest_audience
),

message_sides as (
    select
        sent.*,
        recipients.id as recipient_id,
        case when $directed then sent.sender_inside else sent.sender_id < recipients.id end as outward
    from sent
    inner join evaluation_addresses as recipients on recipients.address = sent.recipient
    where
        sent.sender_id <> recipients.id
        and (not $directed or sent.sender_inside <> recipients.inside)
),

met as (
    select meeting, start_at, unnest(participants) as participant, audience
    from evaluation_meetings
    where audience <= $largest_audience
),

participants as materialized (
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
    message,
    conversation,
    null as meeting
from message_sides
union all
select
    one.id,
    other.id,
    'meeting',
    one.start_at,
    one.audience,
    null,
    null,
    one.meeting
from participants as one
inner join participants as other
    on one.meeting = other.meeting
    and case when $directed then one.inside and not other.inside else one.id < other.id end
