-- Published: edges of the contact graph (K4). `edge`, by which they are sorted, is not.
-- grain: (source, target). inputs: graph_ties. parameters: $as_of.
select
    edge,
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
