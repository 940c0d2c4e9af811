"""Throttling as documented (graph.md 3.1): four requests in flight and 10,000 in ten minutes per app and mailbox, and
resource units for the directory. Throttled calls count too."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from relationship_pipeline.simulator.scenario import Limits


@dataclass
class Lane:
    """What one app does with one mailbox."""

    in_flight: int = 0
    most_in_flight: int = 0
    requests: int = 0
    throttled: int = 0
    early: int = 0  # requests that came before a Retry-After had run out
    wait_until: float = 0.0
    recent: deque[tuple[float, int]] = field(default_factory=deque)  # (ten-second slot, requests)


@dataclass(frozen=True)
class Throttled:
    """A refusal: how long to wait, and Exchange's name of the limit."""

    seconds: float
    limit: str


class Limiter:
    """Counters by app and mailbox, and by app for the directory. Times are seconds of the service clock."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.directory: dict[str, deque[tuple[float, int]]] = {}
        self.directory_early: Counter[str] = Counter()
        self._directory_wait: dict[str, float] = {}

    def lane(self, app: str, mailbox: str) -> Lane:
        key = (app, mailbox)
        found = self.lanes.get(key)
        if found is None:
            found = self.lanes[key] = Lane()
        return found

    def enter(self, app: str, mailbox: str, now: float) -> tuple[Lane, Throttled | None]:
        """Count a request in; the caller must `leave` the lane when the answer has been sent."""
        lane, limits = self.lane(app, mailbox), self.limits
        lane.in_flight += 1
        lane.requests += 1
        lane.most_in_flight = max(lane.most_in_flight, lane.in_flight)
        if now < lane.wait_until:
            lane.early += 1
        slot = now // 10 * 10
        if lane.recent and lane.recent[-1][0] == slot:
            lane.recent.append((slot, lane.recent.pop()[1] + 1))
        else:
            lane.recent.append((slot, 1))
        while lane.recent and lane.recent[0][0] <= now - limits.window - 10:
            lane.recent.popleft()
        if lane.in_flight > limits.concurrency:
            return lane, Throttled(limits.retry_after, "MailboxConcurrency")
        if sum(count for _, count in lane.recent) > limits.requests:
            return lane, Throttled(round(lane.recent[0][0] + limits.window + 10 - now, 3), "RequestRate")
        return lane, None

    def leave(self, lane: Lane) -> None:
        lane.in_flight -= 1

    def promise(self, lane: Lane, until: float) -> None:
        """Remember what a 429 asked for, so that a client that comes too early is seen."""
        lane.throttled += 1
        lane.wait_until = max(lane.wait_until, until)

    def spend(self, app: str, units: int, now: float) -> tuple[float, float | None]:
        """Spend directory units: the share used in the window, and seconds to wait if it is above 1."""
        spent = self.directory.setdefault(app, deque())
        spent.append((now, units))
        while spent[0][0] <= now - self.limits.directory_window:
            spent.popleft()
        if now < self._directory_wait.get(app, 0.0):
            self.directory_early[app] += 1
        share = sum(count for _, count in spent) / self.limits.directory_units
        if share <= 1:
            return share, None
        wait = round(spent[0][0] + self.limits.directory_window - now + 0.001, 3)
        self.promise_directory(app, now + wait)
        return share, wait

    def promise_directory(self, app: str, until: float) -> None:
        self._directory_wait[app] = max(self._directory_wait.get(app, 0.0), until)
