-- The nodes of the contact graph, for a file.
-- grain: node; input: graph_nodes, in its order (kind, node_id)
select
    node_id,
    kind,
    name,
    account_id,
    degree
from graph_nodes
