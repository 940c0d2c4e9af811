"""The contact graph as a file for other tools (K4): GraphML or Parquet by the file's extension, streamed.

Every export is registered before it is written (reliability.md 3.1): once it is out, it is out of our reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.durable import durable_rename, temp_path
from relationship_pipeline.errors import BadInput, PipelineError
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.connection import DEFAULT_LIMITS, current_epoch, open_published
from relationship_pipeline.publishing.register import record_export
from relationship_pipeline.publishing.roles import DEFAULT_ROLE, require_role
from relationship_pipeline.publishing.who_knows import MODELS
from relationship_pipeline.schemas import PUBLISHED, WHO_KNOWS_WHOM

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 20_000

LIMITS = replace(DEFAULT_LIMITS, threads=1)
"""One thread reads the tables in the order they are stored in, so that nothing has to be sorted, or held."""

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
    `NAME.nodes.parquet`. Files are 0600 and appear when whole. Raises ConsentRefused, Refused (role, grant), BadInput
    (extension, folder) and PipelineError (not writable, disk full).
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
    with open_published(epoch, role, LIMITS) as connection:
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
    with (
        _appearing_whole(target) as temp,
        pq.ParquetWriter(temp, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _write_graphml(connection: duckdb.DuckDBPyConnection, target: Path) -> dict[str, int]:
    """GraphML 1.0: the keys of both kinds first, then nodes, then edges. The engine makes the text of the elements, which
    takes a small part of the time that an XML writer takes for millions of them."""
    connection.execute(sql(MODELS, "graphml_macros")).fetchall()
    counts = {}
    with _appearing_whole(target) as temp, temp.open("wb") as file:
        file.write(_graphml_head().encode())
        for kind in ("nodes", "edges"):
            counts[kind] = _write_elements(file, _reader(connection, f"graphml_{kind}"))
        file.write(b"</graph>\n</graphml>\n")
    return counts


def _graphml_head() -> str:
    kinds = {"node": ("graph_nodes", {"node_id", "as_of"}), "edge": ("graph_edges", {"source", "target", "as_of"})}
    keys = [
        f'<key id="{element}_{name}" for="{element}" attr.name="{name}" attr.type="{_GRAPHML_TYPES[str(kind)]}"/>'
        for element, (table, left_out) in kinds.items()
        for name, kind, _ in PUBLISHED[table].columns
        if name not in left_out
    ]
    opening = ['<?xml version="1.0" encoding="utf-8"?>', f'<graphml xmlns="{_GRAPHML}">']
    return "\n".join([*opening, *keys, '<graph edgedefault="undirected">', ""])


def _write_elements(file: IO[bytes], elements: pa.RecordBatchReader) -> int:
    """Append the only column of a result; returns its rows."""
    count = 0
    for batch in elements:
        file.write("".join(batch.column(0).to_pylist()).encode())
        count += batch.num_rows
    return count


def _reader(connection: duckdb.DuckDBPyConnection, model: str) -> pa.RecordBatchReader:
    return connection.sql(sql(MODELS, model)).to_arrow_reader(BATCH_ROWS)


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path]:
    """A private file to write to, which gets its name when it is whole and durable, and goes if it never is."""
    temp = temp_path(target.parent, target.suffix)
    try:
        temp.touch(mode=0o600)
        yield temp
        durable_rename(temp, target)
    except OSError as error:
        raise PipelineError(f"the export cannot be written: {error.strerror or 'the disk is full or gone'}") from None
    finally:
        temp.unlink(missing_ok=True)
