"""How far a crawl is, in lines for people."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from relationship_pipeline.sources.base import Progress
from relationship_pipeline.sources.graph.client import GraphClient

PROGRESS_SECONDS = 5.0


@dataclass
class Meter:
    """Progress lines for people: mailboxes, messages, rate, time left, share of throttled answers."""

    what: str
    progress: Progress
    client: GraphClient
    total_mailboxes: int
    total_items: int = 0
    mailboxes: int = 0
    items: int = 0
    _started: float = field(default_factory=time.monotonic)
    _shown: float = 0.0

    def add(self, items: int) -> None:
        self.items += items
        self.show()

    def show(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._shown < PROGRESS_SECONDS:
            return
        self._shown = now
        rate = self.items / max(now - self._started, 1e-3)
        of = f" of {self.total_items:,}" if self.total_items else ""
        left = (self.total_items - self.items) / rate if self.total_items and rate else 0
        share = 100 * self.client.throttled / max(self.client.requests, 1)
        self.progress(
            f"{self.what}: {self.mailboxes:,} of {self.total_mailboxes:,} mailboxes, {self.items:,}{of} items, "
            f"{rate:,.0f}/s" + (f", {_duration(left)} left" if left > 1 else "") + f", {share:.1f} % throttled"
        )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
