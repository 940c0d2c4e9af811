"""Deleting from the command line: the same deletion as the Dagster job, whether Dagster runs or not."""

from __future__ import annotations

import os

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.orchestration.protect import dagster_hooks
from relationship_pipeline.settings import Settings


def erase_with_dagster(settings: Settings) -> dict[str, str]:
    """Carry every open deletion as far as it goes, scrubbing this data directory's Dagster home on the way. Without a
    home there is nothing to scrub, and the deletion goes on (reliability.md 3.3)."""
    home = settings.layout.dagster_home
    if not (home / "dagster.yaml").exists():
        from relationship_pipeline.erasure.steps import Hooks

        return operations.run_erasure(settings, Hooks())
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        return operations.run_erasure(settings, dagster_hooks(settings, instance, keep_run=None))
