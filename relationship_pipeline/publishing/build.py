"""The program that builds one published database, in a process of its own (reliability.md 1.10).

`python -m relationship_pipeline.publishing.build` reads one line of JSON (BuildOrder) from stdin, reads only the
Parquet files named there, whose every row is allowed, and prints the rows of each table as JSON. It ends at once when
stdin closes, so that it never outlives the run that started it. Errors carry a code and no value of any row.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import msgspec

from relationship_pipeline.lake.engine import identifier, sql_type
from relationship_pipeline.schemas import PUBLISHED, PublishedTable

ATTACH = "attach $path as published (storage_version 'v1.2.0')"
"""The storage version that DuckDB clients from 1.2 on can open."""

NOT_FOR_EMPLOYMENT = "Must not be used for employment decisions."

EXIT_FAILED, EXIT_DISK_FULL = 1, 3


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: Parquet files by table name, and the engine's limits. `compression` is set by tests only."""

    target: str
    tables: dict[str, list[str]]
    spill: str
    memory_limit: str
    threads: int
    compression: str | None = None


def build(order: BuildOrder) -> dict[str, int]:
    """Write the database at `order.target`: tables in the order of their files, which is that of `schemas.PUBLISHED`, with
    their comments; returns the rows of each. The file is closed and has no WAL, but is not yet durable."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": order.memory_limit,
            "threads": str(order.threads),
            "temp_directory": order.spill,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        if order.compression:
            connection.execute("set force_compression = $compression", {"compression": order.compression})
        connection.execute(ATTACH, {"path": order.target})
        rows = {}
        for name, files in order.tables.items():
            table = PUBLISHED[name]
            connection.execute(create_statement(name, table))
            row = connection.execute(insert_statement(name, table), {"files": files}).fetchone()
            rows[name] = int(row[0]) if row else 0
            for statement in comment_statements(name, table):
                connection.execute(statement)
        connection.execute("detach published")
    finally:
        connection.close()
    return rows


def create_statement(name: str, table: PublishedTable) -> str:
    columns = ", ".join(f"{identifier(column)} {sql_type(kind)}" for column, kind, _ in table.columns)
    return f"create table published.{identifier(name)} ({columns})"


def insert_statement(name: str, table: PublishedTable) -> str:
    """Columns by name, rows in the table's order: neighbours share a row group, so a look-up reads one. The files have
    it already, each by itself and one after another; DuckDB keeps the order of what it reads."""
    columns = ", ".join(identifier(column) for column, _, _ in table.columns)
    rows = f"select {columns} from read_parquet($files)"  # noqa: S608 (names of schemas.PUBLISHED)
    return f"insert into published.{identifier(name)} ({columns}) {rows}"


def comment_statements(name: str, table: PublishedTable) -> list[str]:
    """COMMENT takes no bound values; the texts are this package's own."""
    target = f"published.{identifier(name)}"
    about = table.comment if "employment" in table.comment else f"{table.comment} {NOT_FOR_EMPLOYMENT}"
    return [
        f"comment on table {target} is {_text(about)}",
        *(
            f"comment on column {target}.{identifier(column)} is {_text(comment)}"
            for column, comment in table.comments.items()
        ),
    ]


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(EXIT_FAILED)


def main() -> int:
    import duckdb

    os.umask(0o077)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=BuildOrder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        rows = build(order)
    except (duckdb.Error, OSError) as error:
        full = "No space left" in str(error) or "File too large" in str(error)
        Path(order.target).unlink(missing_ok=True)
        print(type(error).__name__, file=sys.stderr)
        return EXIT_DISK_FULL if full else EXIT_FAILED
    sys.stdout.buffer.write(msgspec.json.encode(rows))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    status = main()
    # os._exit, for the thread still reads stdin; it flushes nothing, and stderr holds back what it is given by pieces.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
