"""What every benchmark is told: where it may write, how much to generate, how often to repeat."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

LARGE = 2_000_000


@dataclass(frozen=True)
class Context:
    """`messages` and `rounds` None mean the benchmark's own default; `peer_python` is the interpreter that has the extra
    `benchmarks`."""

    folder: Path
    messages: int | None
    rounds: int | None
    seed: int = 7
    peer_python: str = sys.executable

    def count(self, default: int) -> int:
        return self.messages or default

    def repeats(self, messages: int) -> int:
        """How often each side runs: small sizes often enough for a median, the largest once."""
        return self.rounds or (3 if messages <= LARGE else 1)
