"""What a withdrawal does to Dagster: cancel runs in flight, then remove every run, event, tick and asset record but the
deletion's own run. Dagster never held personal data; this leaves nothing of the epoch's history either (W2, W3).

`wipe_assets` and `delete_run` each leave something behind (dagster.md 4.3), so both run, then shells are unlinked and
every SQLite file is vacuumed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus as Status

IN_FLIGHT = [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
CANCEL_SECONDS = 60


def cancel_runs(
    instance: dg.DagsterInstance, *, keep_run: str | None, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Cancel every run in flight but `keep_run` and wait until none is left; returns how many still are.

    A run that nobody can terminate (its process belongs to a command line elsewhere, or is gone) is reported as
    cancelled: the fence, not the cancelling, is what stops it from committing.
    """
    for run in _in_flight(instance, keep_run):
        instance.run_coordinator.cancel_run(run.run_id)
    deadline = time.monotonic() + CANCEL_SECONDS
    while _in_flight(instance, keep_run) and time.monotonic() < deadline:
        sleep(0.5)
    for run in _in_flight(instance, keep_run):
        instance.report_run_canceled(run, message="cancelled: consent was withdrawn")
    return len(_in_flight(instance, keep_run))


def _in_flight(instance: dg.DagsterInstance, keep_run: str | None) -> list[dg.DagsterRun]:
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=IN_FLIGHT))
    return [run for run in runs if run.run_id != keep_run]


def scrub_history(instance: dg.DagsterInstance, home: Path, *, keep_run: str | None) -> dict[str, int]:
    """Remove runs, events, asset records and ticks; returns counts by class. Safe to repeat."""
    runs = [run.run_id for run in instance.get_runs() if run.run_id != keep_run]
    for run_id in runs:
        instance.delete_run(run_id)
    assets = list(instance.all_asset_keys())
    instance.wipe_assets(assets)
    ticks = 0
    for state in instance.all_instigator_state():
        ticks += len(instance.get_ticks(state.instigator_origin_id, state.selector_id))
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=time.time())
    shells = _unlink_shells(home, keep_run)
    _vacuum(home)
    return {"dagster_runs": len(runs), "dagster_assets": len(assets), "dagster_ticks": ticks, "dagster_files": shells}


def _unlink_shells(home: Path, keep_run: str | None) -> int:
    """`delete_run` empties a run's event database but leaves the file."""
    folder, removed = home / "history" / "runs", 0
    for path in folder.glob("*.db*"):
        run_id = path.name.split(".db")[0]
        if run_id not in ("index", keep_run):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _vacuum(home: Path) -> None:
    for path in home.rglob("*.db"):
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
            connection.execute("vacuum")
