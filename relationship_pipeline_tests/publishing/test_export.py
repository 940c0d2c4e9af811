from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import networkx
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline.publishing.export import export_graph, nodes_file
from relationship_pipeline_tests.publishing.tenants import AS_OF, Tenant, company, fill_large_graph, tenant


def test_K4_networkx_reads_back_every_node_and_edge_of_a_graphml_export(published: Tenant, tmp_path: Path) -> None:
    target = tmp_path / "graph.graphml"
    counts = export_graph(published.layout, target)
    graph = networkx.read_graphml(target)
    nodes, edges = published.rows["graph_nodes"], published.rows["graph_edges"]
    assert counts == {"nodes": len(nodes), "edges": len(edges)}
    assert not graph.is_directed()
    assert set(graph.nodes) == {node["node_id"] for node in nodes}
    for node in nodes:
        held = graph.nodes[node["node_id"]]
        assert (held["kind"], held["name"]) == (node["kind"], node["name"])
        assert held.get("degree") == node.get("degree")
    assert {frozenset(pair) for pair in graph.edges} == {frozenset((edge["source"], edge["target"])) for edge in edges}
    for edge in edges:
        held = graph.edges[edge["source"], edge["target"]]
        assert (held["kind"], held["strength"], held["emails"]) == (edge["kind"], edge["strength"], edge["emails"])
        assert held["last_interaction_at"] == edge["last_interaction_at"].isoformat()


def test_V4_no_colleague_has_a_degree_in_an_export(published: Tenant, tmp_path: Path) -> None:
    target = tmp_path / "graph.graphml"
    export_graph(published.layout, target)
    graph = networkx.read_graphml(target)
    assert not [node for node, held in graph.nodes(data=True) if held["kind"] == "colleague" and "degree" in held]


def test_K4_parquet_holds_the_edges_and_beside_them_the_nodes(published: Tenant, tmp_path: Path) -> None:
    target = tmp_path / "graph.parquet"
    counts = export_graph(published.layout, target)
    edges, nodes = pq.read_table(target), pq.read_table(nodes_file(target))
    assert (nodes.num_rows, edges.num_rows) == (counts["nodes"], counts["edges"])
    graph = networkx.from_pandas_edgelist(edges.to_pandas(), edge_attr="strength")
    assert graph.number_of_edges() == len(published.rows["graph_edges"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_names_that_xml_cannot_hold_do_not_break_the_file(tmp_path: Path) -> None:
    rows = company(contacts=3)
    rows["graph_nodes"][-1]["name"] = "Eve\x00\x0b\ufffe <&\"'>"
    made = tenant(tmp_path, rows)
    made.publish()
    target = tmp_path / "graph.graphml"
    export_graph(made.layout, target)
    graph = networkx.read_graphml(target)
    assert graph.nodes[rows["graph_nodes"][-1]["node_id"]]["name"] == "Eve\ufffd\ufffd\ufffd <&\"'>"


def test_an_export_keeps_the_order_of_the_published_tables(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=400, colleagues=300))
    made.publish()
    target = tmp_path / "graph.parquet"
    export_graph(made.layout, target)
    edges, nodes = pq.read_table(target).to_pylist(), pq.read_table(nodes_file(target)).to_pylist()
    assert len(edges) > 4_000
    assert edges == sorted(edges, key=lambda row: (row["target"], row["source"]))
    assert nodes == sorted(nodes, key=lambda row: (row["kind"], row["node_id"]))


@pytest.mark.soak
def test_millions_of_edges_are_exported_in_flat_memory(tmp_path: Path) -> None:
    """20,000 colleagues, 400,000 contacts, 3.2 million edges: in a process of its own, so that its memory is seen."""
    made = tenant(tmp_path, {})
    with duckdb.connect(str(database_path(made.epoch.published, "salesperson"))) as connection:
        fill_large_graph(connection)
    for name in ("graph.parquet", "graph.graphml"):
        said = subprocess.run(
            [sys.executable, "-c", EXPORT, str(made.layout.root), str(tmp_path / name)],
            capture_output=True,
            check=True,
        )
        peak_mib, edges = json.loads(said.stdout)
        print({"file": name, "peak_mib": peak_mib, "edges": edges})
        assert (edges, peak_mib < 400) == (3_200_000, True)


EXPORT = """
import json, re, sys
from pathlib import Path
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.export import export_graph
counts = export_graph(Layout(Path(sys.argv[1])), Path(sys.argv[2]))
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
print(json.dumps([peak, counts["edges"]]))
"""


def test_every_export_is_registered_with_recipient_time_and_role(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=3))
    made.publish()
    export_graph(made.layout, tmp_path / "a.graphml", recipient="analytics team", now=AS_OF)
    export_graph(made.layout, tmp_path / "b.parquet", "sales_manager", now=AS_OF)
    with closing(sqlite3.connect(made.epoch.ledger)) as connection:
        found = connection.execute("select number, at, kind, role, recipient from export order by number").fetchall()
    at = AS_OF.isoformat()
    assert found == [
        (1, at, "graph .graphml", "salesperson", "analytics team"),
        (2, at, "graph .parquet", "sales_manager", None),
    ]


def test_an_export_that_cannot_be_is_refused_in_one_line(published: Tenant, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\.graphml or \.parquet"):
        export_graph(published.layout, tmp_path / "graph.csv")
    with pytest.raises(BadInput, match="folder to export to does not exist"):
        export_graph(published.layout, tmp_path / "none" / "graph.graphml")
    with pytest.raises(Refused, match="role grant guest who_knows_whom"):
        export_graph(published.layout, tmp_path / "graph.graphml", "guest")
    assert list(tmp_path.iterdir()) == []
