-- The edges of the contact graph, undirected, for a file; both ends are nodes of the export.
-- grain: edge; inputs: graph_edges, in its order (target, source), graph_nodes
select
    source,
    target,
    kind,
    strength,
    first_interaction_at,
    last_interaction_at,
    emails,
    meetings
from graph_edges
where source in (select node_id from graph_nodes)
    and target in (select node_id from graph_nodes)
