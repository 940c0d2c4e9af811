-- Published: nodes of the contact graph (K4): those with an edge. No degree for colleagues (V4).
-- grain: node_id. inputs: graph_ties, graph_names, users, contact_accounts,
--   contact_names. parameters: $as_of.
with
degrees as (
    select target_number as number, count(*) as degree
    from graph_ties
    where kind = 'colleague_contact'
    group by target_number
),

contacts as (
    select graph_names.name as contact, degrees.degree
    from degrees
    inner join graph_names on graph_names.number = degrees.number
),

tied as (
    select source_number as number from graph_ties
    union
    select target_number from graph_ties where kind = 'colleague_colleague'
),

colleagues as (
    select graph_names.name as email
    from tied
    inner join graph_names on graph_names.number = tied.number
),

nodes as (
    select
        contacts.contact as node_id,
        'contact' as kind,
        contact_names.name,
        contact_accounts.account_id,
        contacts.degree
    from contacts
    left join contact_names on contact_names.contact = contacts.contact
    left join contact_accounts on contact_accounts.contact = contacts.contact
    union all
    select users.email, 'colleague', users.name, null, null
    from colleagues
    inner join users on users.email = colleagues.email
)

select *, $as_of::timestamptz as as_of
from nodes
