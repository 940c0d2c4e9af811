-- What a health scorer may see at one cut: everything before it, nothing from it on.
-- grain: one (colleague, contact, message or meeting) of the 365 days before $cut
-- inputs: evaluation_events, evaluation_addresses; $cut (UTC)
-- columns: contact, colleague (addresses), message (number, null for a meeting), kind, sent_at (UTC), audience
select
    contacts.address as contact,
    colleagues.address as colleague,
    events.message,
    events.kind,
    events.sent_at,
    events.audience
from evaluation_events as events
inner join evaluation_addresses as colleagues on colleagues.id = events.a
inner join evaluation_addresses as contacts on contacts.id = events.b
where events.sent_at < $cut and events.sent_at >= cast($cut as timestamp) - interval 365 days
order by events.sent_at, contacts.address, colleagues.address
