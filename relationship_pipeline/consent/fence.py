"""The fence: why a withdrawal wins every race (reliability.md 1.3, 3.2).

Whoever commits holds `control/fence.lock` shared and reads the consent state again under it; whoever withdraws holds it
exclusively while the state changes. The kernel frees a lock when its process dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relationship_pipeline.durable import make_folder
from relationship_pipeline.errors import Refused


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a file lock. With `wait=False` raises BlockingIOError at once when another process holds it."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a piece of work; raises Refused in one line when another run holds it."""
    try:
        with locked(path, wait=False):
            yield
    except BlockingIOError:
        raise Refused(f"another run is working on {what}; wait for it to end and run this again") from None
