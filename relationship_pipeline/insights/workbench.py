"""Running SQL models on one DuckDB connection: each model becomes the table or view of its own name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.lake.engine import copy_to_parquet, identifier, sql, sql_type

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@cache
def models_digest(package: str) -> str:
    """Changes with the text of any model of a package."""
    texts = sorted(
        (path.name, path.read_text(encoding="utf-8")) for path in files(package).iterdir() if path.name[-4:] == ".sql"
    )
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Workbench:
    """A connection and the package its models come from. A later model reads earlier ones by name."""

    engine: duckdb.DuckDBPyConnection
    package: str

    def attach(self, name: str, paths: Iterable[Path], schema: pa.Schema) -> None:
        """A view over Parquet files; with none, an empty table of that schema."""
        named = [str(path) for path in paths]
        if named:
            self.engine.read_parquet(named, union_by_name=True).create_view(name)
        else:
            self.register(name, schema.empty_table())

    def register(self, name: str, table: pa.Table) -> None:
        self.engine.register(name, table)

    def table(self, name: str, alias: str | None = None, **parameters: Any) -> None:
        """Compute a model and keep its rows."""
        query = f"create table {identifier(alias or name)} as {sql(self.package, name)}"
        self.engine.execute(query, parameters or None).fetchall()

    def append(self, name: str, *, over: str | None = None, **parameters: Any) -> None:
        """Add a model's rows to the table of its name, which the first call makes. `over`: a model that it alone reads,
        whose rows pass to it without being kept; the parameters are those of both."""
        query = sql(self.package, name)
        if over is not None:
            query = f"with {identifier(over)} as ({sql(self.package, over)}) select * from ({query})"  # noqa: S608
        if self.engine.execute("select 1 from duckdb_tables() where table_name = $name", {"name": name}).fetchall():
            query = f"insert into {identifier(name)} {query}"
        else:
            query = f"create table {identifier(name)} as {query}"
        self.engine.execute(query, parameters or None).fetchall()

    def view(self, name: str, alias: str | None = None) -> None:
        """Let later models read a model's rows as they are computed; views take no parameters."""
        self.engine.execute(
            f"create or replace view {identifier(alias or name)} as {sql(self.package, name)}"
        ).fetchall()

    def write(self, name: str, target: Path, **parameters: Any) -> int:
        """Compute a model into one Parquet file; returns its rows."""
        return copy_to_parquet(self.engine, sql(self.package, name), target, parameters)

    def write_contract(
        self, name: str, schema: pa.Schema, sort_by: Iterable[str], target: Path, **parameters: Any
    ) -> int:
        """As `write`, with the columns, their order and types of `schema` and the rows sorted by columns of the model."""
        columns = ", ".join(
            f"{identifier(field.name)}::{sql_type(field.type)} as {identifier(field.name)}" for field in schema
        )
        order = ", ".join(identifier(column) for column in sort_by)
        query = f"select {columns} from ({sql(self.package, name)}) order by {order}"  # noqa: S608 (quoted names)
        return copy_to_parquet(self.engine, query, target, parameters)

    def row(self, name: str, **parameters: Any) -> tuple[Any, ...]:
        """The only row of a model."""
        (row,) = self.engine.execute(sql(self.package, name), parameters or None).fetchall()
        return row

    def has_rows(self, name: str) -> bool:
        return bool(self.engine.table(name).limit(1).fetchall())

    def drop(self, *names: str) -> None:
        """Free the rows of tables that no later model reads."""
        for name in names:
            self.engine.execute(f"drop table {identifier(name)}").fetchall()


@contextmanager
def scratch(engine: duckdb.DuckDBPyConnection, package: str) -> Iterator[Workbench]:
    """A workbench on the same engine that begins empty and whose tables go at the end; those of the engine itself are in
    schema `main`."""
    with engine.cursor() as session:
        session.execute("set TimeZone = 'UTC'").fetchall()
        session.execute("create schema scratch").fetchall()
        try:
            session.execute("use scratch").fetchall()
            yield Workbench(session, package)
        finally:
            session.execute("use main").fetchall()
            session.execute("drop schema scratch cascade").fetchall()
