"""Runs that a command carries in its own process (`backfill`, `refresh`), and what becomes of them when it is killed.

Dagster watches the processes that it launched itself, not these: a killed command's run would say "started" for ever and
count against `max_concurrent_runs`. So a command holds a lock while it lives, its runs carry the lock's name as a tag,
and whoever finds the lock free ends the run. Such runs take no pool either: a slot would stay taken until a daemon
frees it, and there may be none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus as Status

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.layout import Layout

COMMAND_TAG = "relationship/command"
UNFINISHED = [Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]


@contextmanager
def command(layout: Layout) -> Iterator[dict[str, str]]:
    """While the block runs this command is alive; yields the tags that its runs carry."""
    token = secrets.token_hex(8)
    lock = _lock(layout, token)
    try:
        with locked(lock):
            yield {COMMAND_TAG: token}
    finally:
        lock.unlink(missing_ok=True)


def end_abandoned_runs(instance: dg.DagsterInstance, layout: Layout) -> int:
    """Report the unfinished runs of commands that are gone as failed; returns how many."""
    ended = 0
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        token = run.tags.get(COMMAND_TAG)
        if token is not None and not _is_alive(_lock(layout, token)):
            instance.report_run_failed(run, message="the command that carried this run was killed")
            ended += 1
    return ended


def _lock(layout: Layout, token: str) -> Path:
    return layout.work_lock(f"command-{token}")


def _is_alive(lock: Path) -> bool:
    """Whether somebody holds the lock; one that nobody holds is removed."""
    if not lock.exists():
        return False
    try:
        with locked(lock, wait=False):
            lock.unlink(missing_ok=True)
            return False
    except BlockingIOError:
        return True
