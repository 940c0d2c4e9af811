"""What a withdrawal does to Dagster: cancel runs in flight, then remove every run, event, tick and asset record but the
deletion's own run. Dagster never held personal data; this leaves nothing of the epoch's history either (W2, W3).

`until` is when the next consent was given, None without one: what was created from then on belongs to a later epoch and
stays (W6). Runs carry no epoch by themselves, whoever starts them, but none can be of two: before `until` the old epoch
was the only one.

`wipe_assets` and `delete_run` each leave something behind (dagster.md 4.3), so both run, then shells are unlinked and
every SQLite file is vacuumed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus as Status
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

IN_FLIGHT = [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
CANCEL_SECONDS = 60


def cancel_runs(
    instance: dg.DagsterInstance,
    *,
    until: datetime | None,
    keep_run: str | None,
    patience: float = CANCEL_SECONDS,
) -> int:
    """Cancel every backfill and run in flight but `keep_run` and wait until none is left, for at most `patience` seconds;
    returns how many still are.

    A run that nobody can terminate (its process belongs to a command line elsewhere, or is gone) is reported as
    cancelled: the fence, not the cancelling, is what stops it from committing.
    """
    requested = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED], created_before=until)
    for backfill in instance.get_backfills(filters=requested):
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))
    for run in _in_flight(instance, until, keep_run):
        instance.run_coordinator.cancel_run(run.run_id)
    deadline = time.monotonic() + patience
    while _in_flight(instance, until, keep_run) and time.monotonic() < deadline:
        time.sleep(0.5)
    for run in _in_flight(instance, until, keep_run):
        instance.report_run_canceled(run, message="cancelled: consent was withdrawn")
    return len(_in_flight(instance, until, keep_run))


def _in_flight(instance: dg.DagsterInstance, until: datetime | None, keep_run: str | None) -> list[dg.DagsterRun]:
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=IN_FLIGHT, created_before=until))
    return [run for run in runs if run.run_id != keep_run]


def scrub_history(
    instance: dg.DagsterInstance, home: Path, *, until: datetime | None, keep_run: str | None
) -> dict[str, int]:
    """Remove runs, events, asset records and ticks; returns counts by class. Safe to repeat."""
    runs = [
        run.run_id for run in instance.get_runs(filters=dg.RunsFilter(created_before=until)) if run.run_id != keep_run
    ]
    for run_id in runs:
        instance.delete_run(run_id)
    kept = {run.run_id for run in instance.get_runs()}
    assets = [key for key in instance.all_asset_keys() if not _is_of_a_kept_run(instance, key, kept)]
    instance.wipe_assets(assets)
    ticks, before = 0, until.timestamp() if until else time.time()
    for state in instance.all_instigator_state():
        ticks += len(instance.get_ticks(state.instigator_origin_id, state.selector_id, before=before))
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=before)
    backfills = _forget_backfills(home, until)
    _forget_checks(home, kept)
    shells = _unlink_shells(home, kept)
    _vacuum(home)
    return {
        "dagster_runs": len(runs),
        "dagster_backfills": backfills,
        "dagster_assets": len(assets),
        "dagster_ticks": ticks,
        "dagster_files": shells,
    }


def _is_of_a_kept_run(instance: dg.DagsterInstance, asset: dg.AssetKey, kept: set[str]) -> bool:
    """Whether the asset was last made by a run that stays. With its older runs their events went."""
    (record,) = instance.get_asset_records([asset])
    made = record.asset_entry.last_materialization_record
    return made is not None and made.run_id in kept


ENDED_BACKFILLS = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")


def _forget_backfills(home: Path, until: datetime | None) -> int:
    """Dagster has no call that deletes a backfill. One that the daemon is still cancelling is left to it."""
    latest = until or datetime.now(UTC)
    count = 0
    for connection in _databases_with(home, "bulk_actions"):
        rows = connection.execute("select key, status, timestamp from bulk_actions").fetchall()
        old = [
            (key,)
            for key, status, at in rows
            if status in ENDED_BACKFILLS and datetime.fromisoformat(at).replace(tzinfo=UTC) < latest
        ]
        connection.executemany("delete from bulk_actions where key = ?", old)
        connection.executemany("delete from backfill_tags where backfill_id = ?", old)
        count += len(old)
    return count


def _forget_checks(home: Path, kept: set[str]) -> None:
    """`delete_run` leaves the results of a run's asset checks."""
    for connection in _databases_with(home, "asset_check_executions"):
        found = connection.execute("select distinct run_id from asset_check_executions").fetchall()
        old = [row for row in found if row[0] not in kept]
        connection.executemany("delete from asset_check_executions where run_id = ?", old)


def _databases_with(home: Path, table: str) -> Iterator[sqlite3.Connection]:
    """A transaction on each of the home's databases that has this table."""
    for path in home.rglob("*.db"):
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            if connection.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone():
                yield connection


def _unlink_shells(home: Path, kept: set[str]) -> int:
    """`delete_run` empties a run's event database but leaves the file."""
    folder, removed = home / "history" / "runs", 0
    for path in folder.glob("*.db*"):
        run_id = path.name.split(".db")[0]
        if run_id != "index" and run_id not in kept:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _vacuum(home: Path) -> None:
    for path in home.rglob("*.db"):
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
            connection.execute("vacuum")
