"""One read-only statement of a person on a role's published database (`relationship-pipeline query`).

Two walls: this module lets through a single SELECT over published tables, and the connection beneath it (connection.py)
has nothing to escape to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.connection import DEFAULT_LIMITS, Limits, current_epoch, open_published
from relationship_pipeline.publishing.formats import Format, write_rows
from relationship_pipeline.publishing.roles import require_any_grant, require_role
from relationship_pipeline.schemas import PUBLISHED

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 10_000

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "duckdb_tables", "duckdb_columns"})
"""The table functions a query may call: series, and the catalog functions that show the tables' comments."""

CATALOG_VIEWS = frozenset({"duckdb_tables", "duckdb_columns", "sqlite_master", "sqlite_schema"})
"""The engine's own views outside information_schema that a query may read; others show paths and settings."""

SCALAR_FUNCTIONS_REFUSED = frozenset({"current_setting", "getvariable", "write_log", "json_execute_serialized_sql"})


def query(
    layout: Layout,
    sql: str,
    role: str,
    output: Format,
    write: Callable[[str], object],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> int:
    """Run one SELECT as the role and write its rows as text, streaming; returns their number.

    Raises ConsentRefused without a live consent; Refused, naming the administrator's command, where the role is unknown
    or lacks the grant for a table, and for anything but one SELECT over published tables; BadInput for an SQL error.
    """
    ledger = ControlLedger(layout)
    epoch = current_epoch(layout)
    require_any_grant(ledger, role)
    with open_published(epoch, role, limits) as connection, one_line_errors(connection, limits.timeout):
        tables = check_statement(connection, sql)
        require_role(ledger, role, *sorted({PUBLISHED[table].grant for table in tables}))
        reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        return write_rows(reader, output, write)


def check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The published tables that the one SELECT reads. Raises Refused for anything else, duckdb.Error for bad syntax."""
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise Refused("a query is exactly one SELECT (or DESCRIBE, SHOW, SUMMARIZE) statement; nothing else is run")
    row = connection.execute("select json_serialize_sql($1)", [statements[0].query]).fetchone()
    tree = msgspec.json.decode(row[0] if row else "{}")
    if tree.get("error", True):
        raise Refused("this kind of statement is not run here; write it as one plain SELECT")
    hidden = {
        name
        for (name,) in connection.execute(
            "select view_name from duckdb_views() where internal and schema_name <> 'information_schema'"
        ).fetchall()
    } - CATALOG_VIEWS
    tables = set()
    for node in _nodes(tree):
        kind = str(node.get("type", ""))
        if kind == "TABLE_FUNCTION" and (name := _name(node["function"])) not in TABLE_FUNCTIONS:
            raise Refused(f"a query may not call {name}(); it reads the published tables only")
        if kind == "BASE_TABLE":
            if _name(node) in hidden:
                raise Refused(f"a query may not read {_name(node)}; it reads the published tables only")
            tables.add(_name(node))
        if node.get("class") == "FUNCTION" and _name(node) in SCALAR_FUNCTIONS_REFUSED:
            raise Refused(f"a query may not call {_name(node)}()")
    return tables & PUBLISHED.keys()


@contextmanager
def one_line_errors(connection: duckdb.DuckDBPyConnection, timeout: float) -> Iterator[None]:
    """Interrupt the work after `timeout` seconds, and turn the engine's errors into one line."""
    import duckdb

    timer = threading.Timer(timeout, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        raise Refused(f"the query was stopped after {timeout:g} s; narrow it down") from None
    except duckdb.OutOfMemoryException:
        raise Refused("the query needs more memory than a reader may use; narrow it down") from None
    except duckdb.Error as error:
        said = " ".join(str(error).split("\nLINE ")[0].split())
        raise BadInput(f"the query failed: {said[:400]}") from None
    finally:
        timer.cancel()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a parsed statement, depth first, without recursion."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _name(node: dict[str, Any]) -> str:
    return str(node.get("function_name") or node.get("table_name") or "").lower()
