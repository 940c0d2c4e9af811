-- Two-hop paths: a colleague, someone the colleague knows, the account. Strongest product first.
-- grain: person in the middle; parameters: colleague, looked_up (account id), least (strength of each leg), most (rows);
-- inputs: graph_edges (undirected), who_knows_company (its five strongest introducers)
with first_leg as (
    select
        target as colleague_email,
        strength,
        last_interaction_at
    from graph_edges
    where kind = 'colleague_colleague' and source = $colleague and strength >= $least
    union all
    select
        source as colleague_email,
        strength,
        last_interaction_at
    from graph_edges
    where kind = 'colleague_colleague' and target = $colleague and strength >= $least
),

second_leg as (
    select
        colleague_email,
        colleague_name,
        strength,
        last_interaction_at
    from who_knows_company
    where account_id = $looked_up and strength >= $least
)

select
    second_leg.colleague_email,
    second_leg.colleague_name,
    first_leg.strength as first_strength,
    second_leg.strength as second_strength,
    first_leg.strength * second_leg.strength / 100.0 as strength
from second_leg
inner join first_leg using (colleague_email)
order by
    strength desc,
    least(first_leg.last_interaction_at, second_leg.last_interaction_at) desc,
    second_leg.colleague_email
limit $most
