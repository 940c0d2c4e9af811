"""Processes of ours that work inside an epoch's tree: registered while they do, so that a deletion can end them (W3).

Only registered processes are ever ended, and only while the pid still is the process that registered: a pid is told
from its later namesake by its start time in /proc.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.layout import Layout

_POLL_SECONDS = 0.05


@contextmanager
def registered(layout: Layout, epoch: str, what: str) -> Iterator[None]:
    """Register this process as working in the epoch while the block runs."""
    control = ControlLedger(layout)
    me, token = os.getpid(), secrets.token_hex(8)
    with control.connect() as connection:
        connection.execute("insert into worker values (?, ?, ?, ?, ?)", (token, me, _started(me) or 0, epoch, what))
    try:
        yield
    finally:
        with control.connect() as connection:
            connection.execute("delete from worker where token = ?", (token,))


def end_workers(layout: Layout, epoch: str, *, grace_seconds: float) -> dict[str, int]:
    """Ask the epoch's registered processes to end, then end them; counts `asked` and `killed`. Never this process."""
    control = ControlLedger(layout)
    with control.connect() as connection:
        rows = connection.execute("select distinct pid, started from worker where epoch = ?", (epoch,)).fetchall()
    alive = [(pid, started) for pid, started in rows if pid != os.getpid() and _started(pid) == started]
    for pid, _ in alive:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while (left := [row for row in alive if _started(row[0]) == row[1]]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid, _ in left:
        _send(pid, signal.SIGKILL)
    with control.connect() as connection:
        connection.execute("delete from worker where epoch = ?", (epoch,))
    return {"asked": len(alive), "killed": len(left)}


def open_handles(folder: Path) -> int:
    """How many file descriptors of processes that we may look at point below the folder, deleted files included.
    0 where there is no /proc."""
    prefix = f"{folder}/"
    count = 0
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for descriptor in descriptors.iterdir():
                with suppress(OSError):
                    count += str(descriptor.readlink()).startswith(prefix)
    return count


def wait_for_handles(folder: Path, *, grace_seconds: float) -> int:
    """Wait until nobody holds a file below the folder, for at most the grace; returns how many handles are left."""
    deadline = time.monotonic() + grace_seconds
    while (held := open_handles(folder)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return held


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)


def _started(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
