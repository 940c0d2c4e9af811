-- Published: edges of the contact graph (K4). `edge`, by which they are sorted, is not.
-- grain: (source, target). inputs: graph_ties, graph_names. parameters: $as_of.
select
    graph_ties.edge,
    sources.name as source,
    targets.name as target,
    graph_ties.kind,
    graph_ties.strength,
    graph_ties.first_at as first_interaction_at,
    graph_ties.last_at as last_interaction_at,
    graph_ties.emails,
    graph_ties.meetings,
    $as_of::timestamptz as as_of
from graph_ties
inner join graph_names as sources on sources.number = graph_ties.source_number
inner join graph_names as targets on targets.number = graph_ties.target_number
