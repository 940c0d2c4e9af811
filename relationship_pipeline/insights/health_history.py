"""Health of contacts from bare history, for `evaluate` (K8): does it predict silence?

The same parts and macros as the published score. History has no conversations, so that responsiveness is unknown for all
and does not rank; meetings count for both sides.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from relationship_pipeline.domain.health import DEFAULT_CONSTANTS
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.settings import HealthSettings

if TYPE_CHECKING:
    import pyarrow as pa


def health_of_history(history: pa.Table, as_of: datetime, settings: HealthSettings | None = None) -> pa.Table:
    """The unrounded score (`health`, 0 to 100) of each `contact` of a history as evaluate.HealthScorer defines it."""
    import duckdb

    constants = asdict(DEFAULT_CONSTANTS) | (settings or HealthSettings()).model_dump()
    with duckdb.connect() as engine:
        engine.register("history", history)
        engine.execute("create table health_constants as select $k as k", {"k": constants}).fetchall()
        engine.execute(sql("relationship_pipeline.insights", "health_macros")).fetchall()
        query = sql("relationship_pipeline.insights.models.year", "health_of_history")
        return engine.sql(query, params={"as_of": as_of}).to_arrow_table()
