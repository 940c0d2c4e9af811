-- A colleague by primary address.
-- grain: colleague (none or one); parameter: colleague (address); input: graph_nodes
select
    node_id,
    name
from graph_nodes
where kind = 'colleague' and node_id = $colleague
