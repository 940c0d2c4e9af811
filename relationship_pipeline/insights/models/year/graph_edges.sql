-- Published: edges of the contact graph (K4). grain: (source, target). inputs: graph_ties. parameters: $as_of.
select
    source,
    target,
    kind,
    strength,
    first_at as first_interaction_at,
    last_at as last_interaction_at,
    emails,
    meetings,
    $as_of::timestamptz as as_of
from graph_ties
