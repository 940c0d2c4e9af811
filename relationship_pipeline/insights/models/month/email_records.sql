-- Stored: the month's sums a record, and a contact's latest name as its own emails spell it.
-- grain: (record_type, record_id). inputs: days, labels, received.
with
sums as (
    select
        record,
        sum(emails_sent)::bigint as emails_sent,
        sum(emails_received)::bigint as emails_received,
        sum(sent_answerable)::bigint as sent_answerable,
        sum(received_answerable)::bigint as received_answerable,
        sum(team_micros)::bigint as team_micros,
        sum(customer_micros)::bigint as customer_micros,
        min(first_at) as first_at,
        max(last_mark) as last_mark
    from days
    group by record
),

spellings as (
    select
        sender as record,
        sent_at,
        nullif(trim(split_part(sender_name, '<', 1), ' "''	'), '') as name
    from received
    where not is_border and sender_name is not null
),

names as (
    select record, max({'named_at': sent_at, 'name': name}) as latest
    from spellings
    where not contains(name, '@')
    group by record
)

select
    labels.record_type,
    labels.record_id,
    sums.* exclude (record),
    names.latest.name as name,
    names.latest.named_at as named_at
from sums
inner join labels on labels.record = sums.record
left join names on names.record = sums.record
order by sums.record
