"""Seeing that somebody waits for a file lock, so that a test need not guess how long that takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def until_it_waits(pid: int | None, is_running: Callable[[], bool]) -> None:
    """Until a process waits for a lock that somebody holds; fails when what should wait has ended instead."""
    while not any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()):
        assert is_running(), "it did not wait"
