"""The generated parts of docs/data_dictionary.md. `python -m relationship_pipeline_tests.write_docs` writes them anew.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; test_docs.py compares each with what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from relationship_pipeline.durable import put_bytes
from relationship_pipeline.erasure.data_map import STORES
from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "data_dictionary.md"
PART = re.compile(r"(?P<open><!-- generated: (?P<name>\w+) -->\n).*?(?P<close>\n<!-- end -->)", re.DOTALL)

_SQL_NAMES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint64(): "UBIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.uuid(): "UUID",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


def sql_name(kind: pa.DataType) -> str:
    """What DuckDB calls an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_name(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {sql_name(field.type)}' for field in kind)})"
    return _SQL_NAMES[kind]


def paths() -> str:
    rows = [f"| `{store.pattern}` | {store.purpose} | {store.holds} |" for store in STORES]
    return "\n".join(["| path | what it is | personal data |", "|---|---|---|", *rows])


def published() -> str:
    sections = []
    for name, table in PUBLISHED.items():
        order = ", ".join(f"`{column}`" for column in table.sort_by)
        rows = [f"| `{column}` | {sql_name(kind)} | {comment} |" for column, kind, comment in table.columns]
        about = f"{table.comment} Grant: `{table.grant}`. Sorted by {order}."
        sections.append("\n".join([f"### `{name}`", about, "", "| column | type | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(sections)


PARTS: dict[str, Callable[[], str]] = {"paths": paths, "published": published}


def regenerated(page: str) -> str:
    """The page with each generated part made anew. Raises KeyError for a part that nothing makes."""
    return PART.sub(lambda part: part["open"] + PARTS[part["name"]]() + part["close"], page)


if __name__ == "__main__":
    put_bytes(PAGE, regenerated(PAGE.read_text(encoding="utf-8")).encode())
