"""Published tables as plain values, for saying that two runs published the same."""

from __future__ import annotations

from typing import Any

from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline_tests.command import rows

RUN_TIMES = {"read_at", "updated_at"}
"""When a run happened, not what it found."""


def published(role: str = "sales_manager", **environment: str) -> dict[str, list[dict[str, Any]]]:
    """Every published table of a role, in its stored order, without the columns that tell when a run happened."""
    tables = {}
    for name, table in PUBLISHED.items():
        found = rows(f"select * from {name} order by all", role=role, **environment)
        tables[name] = [{column: value for column, value in row.items() if column not in RUN_TIMES} for row in found]
        assert set(table.schema.names) >= set(found[0] if found else ())
    return tables
