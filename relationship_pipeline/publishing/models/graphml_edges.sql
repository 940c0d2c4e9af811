-- The edges of the contact graph, undirected, as GraphML elements, one a line; both ends are nodes of the export.
-- grain: edge; inputs: graph_edges, in its order, graph_nodes; needs graphml_macros
select
    '<edge source="' || xml_text(source) || '" target="' || xml_text(target) || '">'
    || xml_data('edge_kind', kind)
    || xml_data('edge_strength', strength)
    || xml_data('edge_first_interaction_at', xml_time(first_interaction_at))
    || xml_data('edge_last_interaction_at', xml_time(last_interaction_at))
    || xml_data('edge_emails', emails)
    || xml_data('edge_meetings', meetings)
    || '</edge>' || chr(10) as element
from graph_edges
where source in (select node_id from graph_nodes)
    and target in (select node_id from graph_nodes)
