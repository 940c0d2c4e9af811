-- The nodes of the contact graph, for a file.
-- grain: node; input: graph_nodes
select
    node_id,
    kind,
    name,
    account_id,
    degree
from graph_nodes
order by kind, node_id
