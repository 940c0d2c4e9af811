"""The one partitions definition: calendar months in UTC, from `control/first_month`, the running month included."""

from __future__ import annotations

import dagster as dg

from relationship_pipeline.data_dir import first_month
from relationship_pipeline.domain.months import add_months, month_of
from relationship_pipeline.settings import Settings


def monthly_partitions(settings: Settings) -> dg.MonthlyPartitionsDefinition:
    """Keys `YYYY-MM`. The start is fixed when the data directory is made: one that moved would break a running Dagster
    (dagster.md 2.1). With a fixed `as_of`, partitions end with its month."""
    start = first_month(settings)
    if settings.as_of is not None:
        end = add_months(month_of(settings.as_of), 1)
        return dg.MonthlyPartitionsDefinition(start_date=start, end_date=max(end, add_months(start, 1)), fmt="%Y-%m")
    return dg.MonthlyPartitionsDefinition(start_date=start, fmt="%Y-%m", end_offset=1)
