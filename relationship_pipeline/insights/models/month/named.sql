-- Who is named in whose email: our people in what anyone outside or of ours sent, contacts in what we sent.
-- `audience` counts distinct recipients of every kind. `thread` is null for an email without conversation.
-- grain: (email, address); the build then removes further addresses of one person (has_aliases).
-- inputs: visible_emails, parties.
with
opened as (
    select
        visible_emails.email,
        visible_emails.key,
        case
            when visible_emails.conversation_key is not null then hash(visible_emails.conversation_key)
        end as thread,
        visible_emails.received_at,
        visible_emails.sent_at,
        sender.person as sender,
        sender.is_us as by_us,
        visible_emails.is_bulk,
        visible_emails.is_border,
        len(visible_emails.recipients)::integer as audience,
        unnest(visible_emails.recipients) as address
    from visible_emails
    inner join parties as sender on sender.address = visible_emails.sender
)

select opened.* exclude (address), recipient.person, recipient.is_us, recipient.has_aliases
from opened
inner join parties as recipient on recipient.address = opened.address
where opened.by_us or recipient.is_us
