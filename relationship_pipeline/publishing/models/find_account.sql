-- The account that a domain stands for: itself, else the one that most of the domain's contacts belong to.
-- grain: account (none or one); parameter: looked_up (domain); inputs: who_knows_company, graph_nodes
with by_id as (
    select
        account_id,
        1 as preference,
        0 as contacts
    from who_knows_company
    where account_id = $looked_up
    limit 1
),

by_contacts as (
    select
        account_id,
        2 as preference,
        count(*) as contacts
    from graph_nodes
    where
        kind = 'contact'
        and account_id is not null
        and (ends_with(node_id, '@' || $looked_up) or ends_with(node_id, '.' || $looked_up))
    group by account_id
)

select account_id
from (select * from by_id union all select * from by_contacts)
order by preference, contacts desc, account_id
limit 1
