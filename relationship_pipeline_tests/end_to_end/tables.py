"""Published tables as plain values, for saying that two runs published the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.connection import current_epoch, open_published
from relationship_pipeline.schemas import PUBLISHED

RUN_TIMES = {"read_at", "updated_at"}
"""When a run happened, not what it found."""


def published(data: Path, role: str = "sales_manager") -> dict[str, list[dict[str, Any]]]:
    """Every published table of a role in a data directory, in its stored order, without the columns that tell when a run
    happened."""
    tables = {}
    with open_published(current_epoch(Layout(data)), role) as connection:
        for name, table in PUBLISHED.items():
            found = connection.sql(f"select * from {name} order by all").to_arrow_table()
            assert set(table.schema.names) >= set(found.column_names)
            tables[name] = found.drop_columns(sorted(RUN_TIMES & set(found.column_names))).to_pylist()
    return tables
