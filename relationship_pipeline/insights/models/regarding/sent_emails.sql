-- Emails that one of us sent. grain: email. inputs: visible_emails, parties.
select
    visible_emails.message_key,
    case when visible_emails.conversation_key is not null then hash(visible_emails.conversation_key) end as thread,
    visible_emails.sent_at,
    visible_emails.is_bulk,
    parties.person as sender
from visible_emails
inner join parties on parties.address = visible_emails.sender and parties.is_us
where not visible_emails.is_border
