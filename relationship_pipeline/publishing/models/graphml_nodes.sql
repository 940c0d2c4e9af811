-- The nodes of the contact graph as GraphML elements, one a line.
-- grain: node; input: graph_nodes, in its order; needs graphml_macros
select
    '<node id="' || xml_text(node_id) || '">'
    || xml_data('node_kind', kind)
    || xml_data('node_name', name)
    || xml_data('node_account_id', account_id)
    || xml_data('node_degree', degree)
    || '</node>' || chr(10) as element
from graph_nodes
