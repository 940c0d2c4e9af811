-- Emails that contacts sent us.
-- grain: email. inputs: visible_emails, parties.
select
    visible_emails.email,
    visible_emails.key,
    visible_emails.message_key,
    visible_emails.mailbox,
    case when visible_emails.conversation_key is not null then hash(visible_emails.conversation_key) end as thread,
    visible_emails.received_at,
    visible_emails.sent_at,
    visible_emails.is_bulk,
    visible_emails.is_border,
    visible_emails.sender_name,
    parties.person as sender
from visible_emails
inner join parties on parties.address = visible_emails.sender
where not parties.is_us
