-- Keys of the emails that we sent to contacts and leads of the CRM.
-- grain: email. inputs: emails, named, persons.
select email, message_key
from emails
where email in (
    select named.email
    from named
    inner join persons on persons.person = named.person
    where persons.is_watched and named.by_us
)
