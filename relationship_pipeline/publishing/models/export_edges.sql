-- The edges of the contact graph, undirected, for a file; both ends are nodes of the export.
-- grain: edge; inputs: graph_edges, graph_nodes
select
    graph_edges.source,
    graph_edges.target,
    graph_edges.kind,
    graph_edges.strength,
    graph_edges.first_interaction_at,
    graph_edges.last_interaction_at,
    graph_edges.emails,
    graph_edges.meetings
from graph_edges
semi join graph_nodes as ends_source on graph_edges.source = ends_source.node_id
semi join graph_nodes as ends_target on graph_edges.target = ends_target.node_id
order by graph_edges.target, graph_edges.source
