-- The month's emails as `evaluate` reads them (K8): each once (B5), sender by N3, times by N4, a user in scope by the
-- primary address whatever alias was used. Mail that internal people out of scope send makes no count (N2).
-- `conversation`: null for bulk mail, to which no answer is expected (N8).
-- grain: message_key. inputs: visible_emails, evaluated_names.
with
named as (
    select message_key, unnest(recipients) as recipient
    from visible_emails
),

recipients as (
    select named.message_key, list(evaluated_names.name) as recipients
    from named
    inner join evaluated_names on evaluated_names.address = named.recipient
    group by named.message_key
)

select
    visible_emails.message_key::varchar as message_id,
    visible_emails.sent_at,
    senders.name as sender,
    recipients.recipients,
    case
        when not visible_emails.is_bulk
            then coalesce(visible_emails.conversation_key, visible_emails.message_key)::varchar
    end as conversation
from visible_emails
inner join evaluated_names as senders on senders.address = visible_emails.sender and senders.side <> 'internal'
left join recipients on recipients.message_key = visible_emails.message_key
where not visible_emails.is_border
