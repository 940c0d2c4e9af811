"""The one way to open DuckDB for work: in memory, spilling inside the epoch, nothing loaded from outside.

Not for published databases (publishing/) and not for the scanner (erasure/scanner.py), which shares no code with us.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.durable import make_folder, temp_path
from relationship_pipeline.errors import PipelineError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_SHARE = 0.6
ROW_GROUP = 122_880
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPILL_LOCK = "in-use.lock"
"""flock in an engine's spill folder, held while the engine lives."""


def default_memory_limit() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{int(total * MEMORY_SHARE / 2**20)}MiB"


@contextmanager
def open_engine(
    spill: Path, *, memory_limit: str | None = None, threads: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB with the project's habits (architecture.md 4). `spill` holds personal data while a query
    needs it: a folder of the epoch's tree, in which each engine has a folder of its own (DuckDB's spill files of two
    processes would have the same names) that goes with it, or by the janitor when the process is killed. Time zone is
    UTC."""
    import duckdb

    own = make_folder(temp_path(spill))

    config: dict[str, Any] = {
        "memory_limit": memory_limit or default_memory_limit(),
        "threads": str(threads or os.cpu_count() or 1),
        "temp_directory": str(own / "duckdb"),
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    try:
        with locked(own / SPILL_LOCK, wait=False), closing(duckdb.connect(":memory:", config=config)) as connection:
            connection.execute("set enable_progress_bar = false")
            connection.execute("set TimeZone = 'UTC'")
            yield connection
    finally:
        shutil.rmtree(own, ignore_errors=True)


def keep_build_sides(connection: duckdb.DuckDBPyConnection) -> None:
    """Let joins hash the side that is written second. For models that stream many wide rows past small tables: DuckDB
    estimates staged rows at next to none, and would hash these, lists and all, instead of the small table."""
    connection.execute("set disabled_optimizers = 'build_side_probe_side'").fetchall()


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn a full disk (or a file size limit) into one line; `doing` says during what. Raises PipelineError."""
    import duckdb

    try:
        yield
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if not is_disk_full(error):
            raise
        raise PipelineError(
            f"disk full while {doing}; what stood before still stands: free some space and run this again"
        ) from error


def is_disk_full(error: Exception) -> bool:
    """Whether an error of the operating system, of DuckDB or of SQLite says that no more can be written."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    text = str(error)
    said = (*map(os.strerror, _FULL), "max_temp_directory_size", "database or disk is full")
    return any(words in text for words in said)


@cache
def sql(package: str, name: str) -> str:
    """The text of one `.sql` model, by package (`relationship_pipeline.insights.models`) and name."""
    return (files(package) / f"{name}.sql").read_text(encoding="utf-8")


def copy_to_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    parameters: dict[str, Any] | None = None,
    compression: str = "zstd",
) -> int:
    """Write a query's rows as one Parquet file and return their number. `query` and `compression` are texts of this
    package; values are bound. Not durable by itself: the caller adopts the file (lake/writer.py)."""
    statement = f"copy ({query}) to $target (format parquet, compression {compression}, row_group_size {ROW_GROUP})"
    row = connection.execute(statement, {**(parameters or {}), "target": str(target)}).fetchone()
    return int(row[0]) if row else 0


def identifier(name: str) -> str:
    """A name of a table or column, quoted for SQL, where no value can be bound."""
    return '"' + name.replace('"', '""') + '"'


def sql_type(kind: pa.DataType) -> str:
    """The SQL type of a published column (interfaces.md 6). Raises KeyError for a type that the contract does not use."""
    return {
        "string": "varchar",
        "int64": "bigint",
        "int32": "integer",
        "double": "double",
        "bool": "boolean",
        "date32[day]": "date",
        "timestamp[us, tz=UTC]": "timestamptz",
    }[str(kind)]


def create_table(
    connection: duckdb.DuckDBPyConnection, name: str, query: str, parameters: dict[str, Any] | None = None
) -> None:
    """Materialise a query's rows as a temporary table. `query` is a text of this package."""
    connection.execute(f"create or replace temp table {identifier(name)} as {query}", parameters)


def create_view(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """Name a query. `query` is a text of this package."""
    connection.execute(f"create or replace temp view {identifier(name)} as {query}")
