"""Withdrawing, and the motor that carries a deletion to its end from wherever it stands (W1-W3).

The control ledger is the truth; the Dagster job, `erase run` and a watchdog are interchangeable motors. Kill any of
them anywhere and start another: the deletion goes on and ends erased.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.consent.fence import only_one
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.domain.erasure import (
    AFTER_A_HIT,
    PRESUMED_WAIT,
    Alert,
    Erasure,
    ErasureState,
    after,
    has_reached,
)
from relationship_pipeline.erasure.backups import BackupStore
from relationship_pipeline.erasure.data_map import STORES
from relationship_pipeline.erasure.progress import NOTHING_WITHDRAWN, ErasureProgress
from relationship_pipeline.erasure.steps import STEPS, Blocked, Deletion, ScanHit, run_scan
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import Layout

PASSES = 3
"""How often one motor erases again after the scan found something, before it leaves the rest to the next."""


def withdraw(layout: Layout, admin: str, epoch: str, now: datetime, *, source: str = "cli") -> Erasure:
    """Close the fence at once and record the deletion with its deadlines: when this returns, nothing can be committed
    under the epoch any more. Deletes nothing itself. Repeating it changes nothing. Raises Refused for an unknown
    epoch."""
    return ControlLedger(layout).withdraw(epoch, now=now, source=source, reason="withdrawn", admin=admin)


def confirm_presumed(layout: Layout, now: datetime) -> Erasure | None:
    """Turn a presumed withdrawal whose 12 hours are over into a withdrawal, its deadlines counted from the first miss
    (C6); None when there is none or it must wait still."""
    control = ControlLedger(layout)
    record = control.current()
    if record is None or record.state is not ConsentState.PRESUMED_WITHDRAWN:
        return None
    first_miss = control.first_miss(record.epoch) or record.changed_at
    if ErasureProgress(layout).clock(now) < first_miss + PRESUMED_WAIT:
        return None
    return control.withdraw(record.epoch, now=now, source="directory", reason="presumed", since=first_miss)


def what_will_go(layout: Layout, store: BackupStore, epoch: str) -> dict[str, dict[str, int]]:
    """Dry run: files and bytes by class of store, the inbox's export and the backups included. Reads no content."""
    counts: dict[str, dict[str, int]] = {}
    erased = [one for one in STORES if not one.stays]
    for folder in (layout.epoch(epoch).root, layout.inbox_data_connect, store.folder(epoch), store.key_path(epoch)):
        paths = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
        for path in paths:
            relative = _relative(layout, store, epoch, path)
            known = next((one.name for one in erased if re.fullmatch(one.regex, relative)), "not on the map")
            one = counts.setdefault(known, {"files": 0, "bytes": 0})
            one["files"] += 1
            one["bytes"] += path.stat().st_size
    return counts


def run_erasure(deletion: Deletion) -> Erasure:
    """Carry one deletion as far as it goes now and return where it stands.

    Raises Refused when nothing was withdrawn, or while another motor is at work on it.
    """
    progress = deletion.progress
    progress.get(deletion.epoch)
    with only_one(deletion.layout.work_lock("erase"), "the deletion"):
        _record_erasing(deletion)
        passes = 0
        while (state := after(progress.get(deletion.epoch).state)) is not None:
            progress.begin(deletion.epoch, state)
            try:
                facts = STEPS[state](deletion)
            except Blocked as blocked:
                progress.block(deletion.epoch, str(blocked))
                break
            except ScanHit as hit:
                progress.block(deletion.epoch, f"the scan found: {hit}")
                progress.fall_back(deletion.epoch, AFTER_A_HIT)
                passes += 1
                if passes == PASSES:
                    break
                continue
            progress.reach(deletion.epoch, state, progress.clock(deletion.now()), facts)
    return progress.get(deletion.epoch)


def run_all(deletion: Deletion) -> list[Erasure]:
    """Carry every open deletion as far as it goes, oldest first; `deletion.epoch` is replaced by each in turn. Turns a
    presumed withdrawal that is due into one first. Raises Refused when nothing was ever withdrawn."""
    confirm_presumed(deletion.layout, deletion.now())
    every = deletion.progress.all()
    if not every:
        raise Refused(NOTHING_WITHDRAWN)
    return [
        run_erasure(replace(deletion, epoch=one.epoch)) if one.state is not ErasureState.CLOSED else one
        for one in every
    ]


def erasure_status(layout: Layout, now: datetime) -> dict[str, Any] | None:
    """The most pressing deletion (the oldest open one, else the last) as `erase status` shows it; None before any.

    Keys: epoch, state, working_on, blocked, requested_at, due_app, due_backup, overdue, at_risk, alert.
    """
    progress = ErasureProgress(layout)
    every = progress.all()
    if not every:
        return None
    clock = progress.clock(now)
    pressing = next((one for one in every if one.state is not ErasureState.CLOSED), every[-1])
    return {
        "epoch": pressing.epoch,
        "state": pressing.state.value,
        "working_on": pressing.working_on.value if pressing.working_on else None,
        "blocked": pressing.blocked,
        "requested_at": pressing.requested_at.isoformat(),
        "due_app": pressing.due_app.isoformat(),
        "due_backup": pressing.due_backup.isoformat(),
        "overdue": pressing.is_overdue(clock),
        "at_risk": pressing.is_at_risk(clock),
        "alert": pressing.alert(clock).name,
    }


def check_deadlines(layout: Layout, now: datetime) -> Alert:
    """The loudest alert of all deletions: what `erase status --check`, the asset check and the watchdog act on. Writes
    nothing where no deletion is open: a sensor asks all day."""
    progress = ErasureProgress(layout)
    still_open = [one for one in progress.all() if one.state is not ErasureState.CLOSED]
    if not still_open:
        return Alert.NONE
    clock = progress.clock(now)
    return max(one.alert(clock) for one in still_open)


def is_erased(erasure: Erasure) -> bool:
    """`erase run` is done: verified, the app certificate written, backups unreadable."""
    return has_reached(erasure.state, ErasureState.VERIFIED)


def verify_now(deletion: Deletion) -> Mapping[str, Any]:
    """The scan of `erase verify`, with its findings by path (for the administrator's terminal only)."""
    return run_scan(deletion, "after")


def _record_erasing(deletion: Deletion) -> None:
    record = ControlLedger(deletion.layout).record_of(deletion.epoch)
    if record is not None and record.state is ConsentState.WITHDRAWN:
        ControlLedger(deletion.layout).change_state(
            deletion.epoch, ConsentState.ERASING, now=deletion.now(), reason="deletion started"
        )


def _relative(layout: Layout, store: BackupStore, epoch: str, path: Path) -> str:
    """As the data map writes it, wherever keys and backups lie."""
    for folder, name in ((store.folder(epoch), f"backups/{epoch}"), (store.keys, "keys")):
        if path.is_relative_to(folder):
            return f"{name}/{path.relative_to(folder).as_posix()}"
    return path.relative_to(layout.root).as_posix()
