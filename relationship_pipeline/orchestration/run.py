"""Running this project's jobs in this process, against its own Dagster home: what `backfill`, `refresh` and `demo` do.
The same assets and jobs as in the UI, where the runs also show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from relationship_pipeline.definitions import build_definitions
from relationship_pipeline.operations.work import watch_progress
from relationship_pipeline.orchestration.commands import command, end_abandoned_runs
from relationship_pipeline.orchestration.schedules import range_tags
from relationship_pipeline.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Outcome:
    """What a sequence of runs did: months that landed, and what failed with its one line (by month or job)."""

    landed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    published: bool = False


@dataclass(frozen=True)
class _Carrier:
    """This process as the one that carries runs: the definitions, the instance they show in, the tags of its runs."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    tags: Mapping[str, str]

    def run(self, job: str, *, tags: Mapping[str, str] | None = None, **options: Any) -> str | None:
        """Run a job here; None when it succeeded, else the one line of the first step that failed."""
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            tags={**self.tags, **(tags or {})},
            **options,
        )
        return None if result.success else _failure(result)


@contextmanager
def _carrier(settings: Settings, report: Callable[[str], None]) -> Iterator[_Carrier]:
    """Dagster's home is this data directory's, for this process and its children. `report` takes progress lines."""
    os.environ["DAGSTER_HOME"] = str(settings.layout.dagster_home)
    with dg.DagsterInstance.get() as instance, command(settings.layout) as tags, watch_progress(report):
        end_abandoned_runs(instance, settings.layout)
        yield _Carrier(build_definitions(settings, publish_pool=None), instance, tags)


def backfill(settings: Settings, months: Sequence[str], report: Callable[[str], None]) -> Outcome:
    """Collect each month in a run of its own, then, if any landed, derive and publish once. A month that fails does not
    stop the others.

    `report` takes progress lines; `month …` when a month ends.
    """
    outcome = Outcome()
    with _carrier(settings, report) as carrier:
        report("reading the directory and the CRM files")
        failure = carrier.run("read_sources")
        if failure:
            outcome.failed["sources"] = failure
            return outcome
        for month in months:
            report(f"collecting {month}")
            failure = carrier.run("backfill_year", partition_key=month)
            if failure:
                outcome.failed[month] = failure.removeprefix(f"{month}: ")
                report(f"month {month} failed: {outcome.failed[month]}")
            else:
                outcome.landed.append(month)
                report(f"month {month} landed")
        if not outcome.landed:
            return outcome
        report("deriving and publishing")
        failure = carrier.run("build_insights")
        if failure:
            outcome.failed["insights"] = failure
        outcome.published = failure is None
    return outcome


def refresh(settings: Settings, months: Sequence[str], report: Callable[[str], None]) -> Outcome:
    """What the daily schedule runs: one run over the months due."""
    outcome = Outcome()
    with _carrier(settings, report) as carrier:
        failure = carrier.run("daily_refresh", tags=range_tags(list(months)))
    if failure:
        outcome.failed["daily_refresh"] = failure
    else:
        outcome.landed, outcome.published = list(months), True
    return outcome


def _failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            failure = event.step_failure_data.user_failure_data
            if failure is not None and failure.description:
                return failure.description
            return error.cls_name or "failed" if error else "failed"
    return "the run failed before its first step; look at it in the UI (`relationship-pipeline dev`)"
