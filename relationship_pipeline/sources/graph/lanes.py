"""At most 4 requests at once on a mailbox, whatever runs on this machine: lanes are lent out in pairs, by file lock.

A crawl takes one pair for as long as it runs; the second pair, for split giants, only while no other crawl has it. The
kernel returns a pair when its process dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from relationship_pipeline.sources.graph.stage import tree_is_gone

PAIRS = 2
LANES_A_PAIR = 2


class Lanes:
    """The pairs that this crawl holds; `folder` is shared by all crawls of the epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[int] = []

    def take(self) -> bool:
        """Take one more pair, if one is free."""
        for number in range(1, PAIRS + 1):
            try:
                descriptor = os.open(
                    self._folder / f"graph-lanes-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
                )
            except FileNotFoundError:
                raise tree_is_gone() from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._held.append(descriptor)
            return True
        return False

    def give_back(self, keep: int = 0) -> None:
        while len(self._held) > keep:
            os.close(self._held.pop())
