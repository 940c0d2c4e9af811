-- A contact by its address.
-- grain: contact (none or one); parameter: looked_up (address); input: graph_nodes
select
    node_id,
    name
from graph_nodes
where kind = 'contact' and node_id = $looked_up
