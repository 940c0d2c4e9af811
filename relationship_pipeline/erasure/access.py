"""Subject access (W7, O6): everything that is held about one address, as one JSON document."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from relationship_pipeline.consent.epoch_ledger import epoch_transaction
from relationship_pipeline.erasure.person import Person
from relationship_pipeline.lake.engine import open_engine
from relationship_pipeline.lake.manifest import LEFT_OUT, read_manifest
from relationship_pipeline.layout import EpochLayout, Layout
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb


def export_person(settings: Settings, epoch: str, person: Person, now: datetime) -> dict[str, Any]:
    """`{"addresses", "user_ids", "epoch", "exported_at", "held": {place: {table: [row, …]}}, "not_searched"}`.

    Places: lake, insights, published/<role>, ledger. A row is included when any of its values, however deep, is one of
    the person's addresses or user ids. Times ISO 8601 UTC, keys as text. Raises Refused when the ledger is unreadable.
    """
    layout = settings.layout
    tree = layout.epoch(epoch)
    names = person.addresses | person.user_ids
    held: dict[str, dict[str, list[dict[str, Any]]]] = {"lake": {}, "insights": {}, "ledger": {}}
    with open_engine(tree.spill, memory_limit=settings.memory_limit, threads=settings.threads) as engine:
        for place, folder in (("lake", tree.lake), ("insights", tree.root / "insights")):
            for path in sorted(folder.rglob("part-*.parquet")):
                rows = _parquet_rows(engine, path, names)
                if rows:
                    held[place].setdefault(_table_of(path, folder), []).extend(rows)
    for path in sorted(tree.published.glob("*.duckdb")):
        held[f"published/{path.stem}"] = dict(_database_rows(path, names))
    with epoch_transaction(tree.ledger, read_only=True) as connection:
        held["ledger"] = dict(_ledger_rows(connection, names))
    return {
        "addresses": sorted(person.addresses),
        "user_ids": sorted(person.user_ids),
        "epoch": epoch,
        "exported_at": now.isoformat(),
        "held": {place: tables for place, tables in held.items() if tables},
        "not_searched": _not_searched(layout, tree),
    }


def _table_of(path: Path, folder: Path) -> str:
    """The table that a file's rows belong to; a month's counts by mailbox are a table of their own."""
    table = path.relative_to(folder).parts[0]
    manifest = read_manifest(path.parent)
    counts = manifest.paths(path.parent, LEFT_OUT) if manifest else []
    return f"{table}_{LEFT_OUT}" if path in counts else table


def _parquet_rows(engine: duckdb.DuckDBPyConnection, path: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    query = (
        "select t.* from read_parquet($path, hive_partitioning = false) as t "
        "where regexp_matches(lower(cast(t as varchar)), $shape)"
    )
    return _matching(engine.execute(query, {"path": str(path), "shape": _shape(names)}), names)


def _database_rows(path: Path, names: Iterable[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute("select table_name from duckdb_tables() order by 1").fetchall()
        for (table,) in tables:
            query = "select t.* from query_table($table) as t where regexp_matches(lower(cast(t as varchar)), $shape)"
            rows = _matching(connection.execute(query, {"table": table, "shape": _shape(names)}), names)
            if rows:
                yield table, rows


def _ledger_rows(connection: sqlite3.Connection, names: Iterable[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    wanted = set(names)
    tables = connection.execute("select name from sqlite_master where type = 'table' order by 1").fetchall()
    for (table,) in tables:
        cursor = connection.execute(_all_rows(table))
        columns = [column[0] for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor if wanted.intersection(map(str, row))]
        if rows:
            yield table, [_plain(row) for row in rows]


def _all_rows(table: str) -> str:
    """SQLite binds values, not names: the name, which the file's own catalogue gave, is quoted."""
    quoted = table.replace('"', '""')
    return f'select * from "{quoted}"'  # noqa: S608


def _matching(cursor: duckdb.DuckDBPyConnection, names: Iterable[str]) -> list[dict[str, Any]]:
    """The text search finds candidates; a value must be the name exactly."""
    wanted = set(names)
    columns = [column[0] for column in cursor.description or ()]
    rows = (dict(zip(columns, row, strict=True)) for row in iter(cursor.fetchone, None))
    return [_plain(row) for row in rows if any(value in wanted for value in _values(row))]


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.lower()
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _values(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _values(one)


def _plain(value: Any) -> Any:
    """As JSON knows it."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, UUID) else value


def _shape(names: Iterable[str]) -> str:
    return "|".join(re.escape(name.lower()) for name in sorted(names))


def _not_searched(layout: Layout, tree: EpochLayout) -> list[str]:
    """Places outside an export: the company's own records, what is sealed or not rows, and what is on its way to the
    lake."""
    places = {"inbox/crm": layout.inbox_crm, "inbox/data_connect": layout.inbox_data_connect, "backups": layout.backups}
    found = [name for name, folder in places.items() if folder.is_dir() and any(folder.iterdir())]
    if any(path.is_file() and path.suffix != ".lock" for path in tree.stage.rglob("*")):
        found.append("stage")
    return sorted(found)
