"""The contact graph as a file for other tools (K4): GraphML or Parquet by the file's extension, streamed.

Every export is registered before it is written (reliability.md 3.1): once it is out, it is out of our reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.durable import durable_rename, temp_path
from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.connection import current_epoch, open_published
from relationship_pipeline.publishing.register import record_export
from relationship_pipeline.publishing.roles import DEFAULT_ROLE, require_role
from relationship_pipeline.publishing.who_knows import MODELS
from relationship_pipeline.schemas import WHO_KNOWS_WHOM

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 20_000

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GRAPHML = "http://graphml.graphdrawing.org/xmlns"
_GRAPHML_TYPES = {"string": "string", "int64": "long", "int32": "int", "timestamp[us, tz=UTC]": "string"}


def export_graph(
    layout: Layout,
    target: Path,
    role: str = DEFAULT_ROLE,
    *,
    recipient: str | None = None,
    now: datetime | None = None,
) -> dict[str, int]:
    """Write the contact graph that a role may see to `*.graphml` or `*.parquet`; returns the numbers of nodes and edges.

    GraphML holds both in one file, undirected. Parquet holds the edges in `NAME.parquet` and the nodes beside it in
    `NAME.nodes.parquet`. Files are 0600 and appear when whole. Raises ConsentRefused, Refused (role, grant) and BadInput
    (extension, folder).
    """
    writers: dict[str, Callable[[duckdb.DuckDBPyConnection, Path], dict[str, int]]] = {
        ".graphml": _write_graphml,
        ".parquet": _write_parquet,
    }
    if target.suffix.lower() not in writers:
        raise BadInput("the graph is exported as .graphml or .parquet; give the file one of these extensions")
    if not target.parent.is_dir():
        raise BadInput("the folder to export to does not exist; make it first")
    epoch = current_epoch(layout)
    require_role(ControlLedger(layout), role, WHO_KNOWS_WHOM)
    with open_published(epoch, role) as connection:
        record_export(epoch.ledger, f"graph {target.suffix.lower()}", role, recipient, now or datetime.now(UTC))
        return writers[target.suffix.lower()](connection, target)


def nodes_file(target: Path) -> Path:
    """Where the nodes of a Parquet export lie, beside its edges."""
    return target.with_suffix(".nodes.parquet")


def _write_parquet(connection: duckdb.DuckDBPyConnection, target: Path) -> dict[str, int]:
    return {
        "nodes": _write_table(_reader(connection, "export_nodes"), nodes_file(target)),
        "edges": _write_table(_reader(connection, "export_edges"), target),
    }


def _write_table(reader: pa.RecordBatchReader, target: Path) -> int:
    import pyarrow.parquet as pq

    count = 0
    temp = temp_path(target.parent, ".parquet")
    try:
        with pq.ParquetWriter(temp, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
        durable_rename(temp, target)
    finally:
        temp.unlink(missing_ok=True)
    return count


def _write_graphml(connection: duckdb.DuckDBPyConnection, target: Path) -> dict[str, int]:
    temp = temp_path(target.parent, ".graphml")
    try:
        temp.touch(mode=0o600)
        with temp.open("w", encoding="utf-8") as file:
            xml = XMLGenerator(file, "utf-8", short_empty_elements=True)
            counts = _graphml(xml, _reader(connection, "export_nodes"), lambda: _reader(connection, "export_edges"))
        durable_rename(temp, target)
    finally:
        temp.unlink(missing_ok=True)
    return counts


def _graphml(
    xml: XMLGenerator, nodes: pa.RecordBatchReader, edges: Callable[[], pa.RecordBatchReader]
) -> dict[str, int]:
    """GraphML 1.0: the keys of both kinds first, then nodes, then edges; the engine streams one result at a time."""
    from relationship_pipeline.schemas import PUBLISHED

    xml.startDocument()
    _start(xml, "graphml", {"xmlns": _GRAPHML})
    kinds = {"node": ("graph_nodes", {"node_id", "as_of"}), "edge": ("graph_edges", {"source", "target", "as_of"})}
    for element, (table, left_out) in kinds.items():
        for name, kind, _ in PUBLISHED[table].columns:
            if name not in left_out:
                key = {"id": f"{element}_{name}", "for": element, "attr.name": name}
                _element(xml, "key", {**key, "attr.type": _GRAPHML_TYPES[str(kind)]})
    _start(xml, "graph", {"edgedefault": "undirected"})
    counts = {"nodes": 0, "edges": 0}
    for row in _rows(nodes):
        _data_element(xml, "node", {"id": row.pop("node_id")}, row)
        counts["nodes"] += 1
    for row in _rows(edges()):
        _data_element(xml, "edge", {"source": row.pop("source"), "target": row.pop("target")}, row)
        counts["edges"] += 1
    xml.endElement("graph")
    xml.endElement("graphml")
    xml.endDocument()
    return counts


def _data_element(xml: XMLGenerator, name: str, attributes: dict[str, str], data: dict[str, Any]) -> None:
    _start(xml, name, attributes)
    for column, value in data.items():
        if value is not None:
            _start(xml, "data", {"key": f"{name}_{column}"})
            xml.characters(_xml_text(value))
            xml.endElement("data")
    xml.endElement(name)
    xml.characters("\n")


def _element(xml: XMLGenerator, name: str, attributes: dict[str, str]) -> None:
    _start(xml, name, attributes)
    xml.endElement(name)
    xml.characters("\n")


def _start(xml: XMLGenerator, name: str, attributes: dict[str, str]) -> None:
    xml.startElement(name, AttributesImpl({key: _xml_text(value) for key, value in attributes.items()}))


def _xml_text(value: Any) -> str:
    """Text without the characters that XML 1.0 cannot hold; times ISO 8601."""
    return _NOT_IN_XML.sub("\ufffd", value.isoformat() if isinstance(value, datetime) else str(value))


def _reader(connection: duckdb.DuckDBPyConnection, model: str) -> pa.RecordBatchReader:
    return connection.sql(sql(MODELS, model)).to_arrow_reader(BATCH_ROWS)


def _rows(reader: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist()
