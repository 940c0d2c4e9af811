-- Two-hop paths: a colleague, someone the colleague knows, the contact or account (K4). Strongest product first.
-- grain: person in the middle; parameters: colleague, looked_up (address or account id), most (rows); inputs: graph_edges
-- (undirected: a colleague may stand on either side of an edge among colleagues), who_knows_company (an account is reached
-- over its five strongest introducers), graph_nodes
with first_leg as (
    select
        case when source = $colleague then target else source end as colleague_email,
        strength,
        last_interaction_at
    from graph_edges
    where
        kind = 'colleague_colleague'
        and (source = $colleague or target = $colleague)
),

second_leg as (
    select
        source as colleague_email,
        strength,
        last_interaction_at
    from graph_edges
    where kind = 'colleague_contact' and target = $looked_up
    union all
    select
        colleague_email,
        strength,
        last_interaction_at
    from who_knows_company
    where account_id = $looked_up
),

paths as (
    select
        second_leg.colleague_email,
        first_leg.strength as first_strength,
        second_leg.strength as second_strength,
        least(first_leg.last_interaction_at, second_leg.last_interaction_at) as last_interaction_at
    from second_leg
    inner join first_leg using (colleague_email)
)

select
    paths.colleague_email,
    graph_nodes.name as colleague_name,
    paths.first_strength,
    paths.second_strength,
    paths.first_strength * paths.second_strength / 100.0 as strength
from paths
left join graph_nodes
    on paths.colleague_email = graph_nodes.node_id and graph_nodes.kind = 'colleague'
order by strength desc, paths.last_interaction_at desc, paths.colleague_email
limit $most
