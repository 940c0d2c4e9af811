"""The one partitions definition: calendar months in UTC, from `control/first_month`, the running month included."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from relationship_pipeline.data_dir import first_month
from relationship_pipeline.domain.months import add_months, month_end, month_of
from relationship_pipeline.settings import Settings


def monthly_partitions(settings: Settings) -> dg.MonthlyPartitionsDefinition:
    """Keys `YYYY-MM`. The start is fixed when the data directory is made: one that moved would break a running Dagster
    (dagster.md 2.1). With a fixed `as_of`, partitions end with its month."""
    start = first_month(settings)
    last = month_of(settings.now())
    if month_end(last) > datetime.now(UTC):
        return dg.MonthlyPartitionsDefinition(start_date=start, fmt="%Y-%m", end_offset=1)
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=add_months(max(last, start), 1), fmt="%Y-%m")
