-- Emails as they count for a record (N6, N9, N11). record: a contact's or an account's number.
-- Times spent are microseconds, so that sums do not depend on their order.
-- grain: (record, email). inputs: named, received, team_sizes, sent_to_accounts, members.
with
from_contacts as (
    select
        received.* exclude (message_key, mailbox, sender_name),
        team_sizes.people * 150_000_000 as team_micros,
        300_000_000 as customer_micros
    from received
    inner join team_sizes on team_sizes.email = received.email
)

select
    sender as record,
    key,
    thread,
    received_at,
    sent_at,
    false as by_us,
    is_bulk,
    is_border,
    team_micros,
    customer_micros
from from_contacts
union all
select members.account, key, thread, received_at, sent_at, false, is_bulk, is_border,
    team_micros, customer_micros
from from_contacts
inner join members on members.person = from_contacts.sender
union all
select person, key, thread, received_at, sent_at, true, is_bulk, is_border, 300_000_000, 150_000_000
from named
where by_us and not is_us
union all
select account, key, thread, received_at, sent_at, true, is_bulk, is_border, 300_000_000,
    150_000_000 * contacts
from sent_to_accounts
