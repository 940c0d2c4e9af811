"""Dagster's entry point: assembles Definitions from the settings and nothing else. Loads without network, consent or
data."""

from __future__ import annotations

import warnings

import dagster as dg

from relationship_pipeline.data_dir import open_settings, restrict_modes
from relationship_pipeline.orchestration.assets.collect import collect_assets
from relationship_pipeline.orchestration.assets.derive import derive_assets
from relationship_pipeline.orchestration.assets.publish import PUBLISH_POOL, publish_assets
from relationship_pipeline.orchestration.jobs import asset_jobs
from relationship_pipeline.orchestration.partitions import monthly_partitions
from relationship_pipeline.orchestration.protect import protect_checks, protect_jobs, protect_sensors
from relationship_pipeline.orchestration.schedules import daily_refresh_schedule
from relationship_pipeline.settings import Settings

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def build_definitions(settings: Settings, *, publish_pool: str | None = PUBLISH_POOL) -> dg.Definitions:
    """Everything this code location holds, for these settings. Publishing waits in this pool, or in none."""
    months = monthly_partitions(settings)
    return dg.Definitions(
        assets=[
            *collect_assets(settings, months),
            *derive_assets(settings, months),
            *publish_assets(settings, publish_pool),
        ],
        asset_checks=protect_checks(settings),
        jobs=[*asset_jobs(), *protect_jobs(settings)],
        schedules=[daily_refresh_schedule(settings)],
        sensors=protect_sensors(settings),
        executor=EXECUTORS[settings.executor],
    )


# backfill_policy is marked beta in Dagster 1.13 and is what keeps a failed month from failing the others.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
restrict_modes()
defs = build_definitions(open_settings())
