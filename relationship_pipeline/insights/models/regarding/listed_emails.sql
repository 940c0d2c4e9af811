-- Listed emails as the records of the CRM count them, those among us included, which no contact takes part in.
-- grain: email. inputs: crm_emails (here of everybody outside), sent_emails, persons.
select *
from crm_emails
union all by name
select
    sent_emails.message_key,
    sent_emails.thread,
    sent_emails.sent_at,
    true as by_us,
    sent_emails.is_bulk,
    []::varchar[] as contacts,
    [persons.name] as inside,
    [persons.name] as named
from sent_emails
inner join persons on persons.person = sent_emails.sender
where sent_emails.message_key not in (select message_key from crm_emails)
