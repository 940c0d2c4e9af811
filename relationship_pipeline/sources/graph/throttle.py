"""Who may send a request now: the width of the whole crawl, the lanes of each mailbox, the penalty box.

Graph limits each app and mailbox on its own (4 at once, graph.md 3.1) and Exchange sheds load for its own reasons, so
the width adapts (additive increase, multiplicative decrease). A slot is held for one request, never while waiting.
Time is the event loop's, so tests run this on a loop of their own time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

DIRECTORY = ""
"""The lane of requests that concern no mailbox."""

INTERVAL = 10.0
"""Seconds without trouble before the width grows (graph.md 9.3)."""
LONGEST_HOLD = 1800.0
"""Seconds without a good answer for which a mailbox is waited for because the service says so: a Retry-After may name a
day, and one mailbox must not hold the whole crawl as long."""
CALM = 10
"""Clean answers in a row after which a narrowed lane is as wide as before."""


class HeldTooLong(Exception):
    """No slot: nothing may be sent for this mailbox for longer than is waited for one."""


@dataclass
class _Lane:
    limit: int
    wide: int
    in_flight: int = 0
    not_before: float = 0.0
    held_since: float | None = None
    """Since when it has been in the penalty box, again and again, without a good answer."""
    clean: int = 0
    queued: bool = False
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Throttle:
    """Slots for requests. `lanes` is how many a mailbox gives at once, `ceiling` how many the crawl takes in all."""

    def __init__(
        self, ceiling: int, *, start: int = 32, floor: int = 4, lanes: int = 2, longest_hold: float = LONGEST_HOLD
    ) -> None:
        self.width = float(min(start, ceiling))
        self.in_flight = 0
        self._ceiling = ceiling
        self._floor = min(floor, ceiling)
        self._lanes_default = lanes
        self._longest_hold = longest_hold
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self._penalty: list[tuple[float, str]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._troubled: dict[str, float] = {}
        self._grown_at: float | None = None
        self._slow_start = True

    def widen(self, key: str, lanes: int) -> None:
        """Give a mailbox more lanes (a split giant's 4)."""
        lane = self._lane(key)
        lane.limit = lane.wide = lanes

    def forget(self, key: str) -> None:
        """Let go of a mailbox that is done with, unless it is in the penalty box: a tenant has many."""
        lane = self._lanes.get(key)
        if lane and not (lane.in_flight or lane.waiting or lane.queued) and lane.not_before <= self._now():
            del self._lanes[key]

    @asynccontextmanager
    async def slot(self, key: str) -> AsyncIterator[None]:
        """Wait for a slot in the mailbox's lanes and in the whole, hold it for one request. Raises HeldTooLong, also
        when only while waiting it turns out that the wait is too long."""
        lane = self._lane(key)
        if self._is_held_too_long(lane):
            raise HeldTooLong
        turn = asyncio.get_running_loop().create_future()
        lane.waiting.append(turn)
        self._offer(key, lane)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free(key, lane)
            raise
        try:
            yield
        finally:
            self._free(key, lane)

    def clean(self, key: str) -> None:
        """A good answer: lanes heal, the width grows once an interval without trouble."""
        now = self._now()
        lane = self._lane(key)
        lane.clean += 1
        lane.held_since = now if lane.not_before > now else None
        if lane.limit < lane.wide and lane.clean >= CALM:
            lane.limit, lane.clean = lane.limit + 1, 0
        if self._grown_at is None:
            self._grown_at = now
        elif now - self._grown_at >= INTERVAL:
            self._grown_at = now
            self.width = min(float(self._ceiling), self.width * 2 if self._slow_start else self.width + 1)

    def pause(self, key: str, seconds: float) -> None:
        """Put a mailbox in the penalty box and narrow it to one lane; nothing is sent for it before the time is up."""
        lane = self._lane(key)
        lane.limit, lane.clean = 1, 0
        lane.not_before = max(lane.not_before, self._now() + seconds)
        if seconds > 0 and lane.held_since is None:
            lane.held_since = self._now()
        if self._is_held_too_long(lane):
            for turn in lane.waiting:
                if not turn.done():
                    turn.set_exception(HeldTooLong())
            lane.waiting.clear()

    def trouble(self, key: str) -> None:
        """A 429 or 503: on the directory, or on many mailboxes within the interval, the whole crawl halves its width."""
        now = self._now()
        self._slow_start = False
        self._grown_at = now
        self._troubled = {other: at for other, at in self._troubled.items() if now - at < INTERVAL}
        self._troubled[key] = now
        if key == DIRECTORY or len(self._troubled) >= max(3, self.width / 4):
            self.width = max(float(self._floor), self.width / 2)
            self._troubled.clear()

    def _is_held_too_long(self, lane: _Lane) -> bool:
        """Once its time is up a mailbox gets another try, however long it was held."""
        if lane.held_since is None or lane.not_before <= self._now():
            return False
        return lane.not_before - lane.held_since > self._longest_hold

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _lane(self, key: str) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lanes = self._lanes_default if key != DIRECTORY else 4
            lane = self._lanes[key] = _Lane(limit=lanes, wide=lanes)
        return lane

    def _offer(self, key: str, lane: _Lane) -> None:
        """Queue a lane that could send: now, or in the penalty box when its time is not up."""
        if lane.queued or not lane.waiting or lane.in_flight >= lane.limit:
            return
        lane.queued = True
        if lane.not_before > self._now():
            heapq.heappush(self._penalty, (lane.not_before, key))
            self._set_alarm()
        else:
            self._ready.append(key)

    def _admit(self) -> None:
        now = self._now()
        while self._penalty and self._penalty[0][0] <= now:
            self._ready.append(heapq.heappop(self._penalty)[1])
        while self._ready and self.in_flight < int(self.width):
            key = self._ready.popleft()
            lane = self._lanes[key]
            lane.queued = False
            while lane.waiting and lane.waiting[0].done():
                lane.waiting.popleft()
            if lane.waiting and lane.in_flight < lane.limit and lane.not_before <= now:
                lane.waiting.popleft().set_result(None)
                lane.in_flight += 1
                self.in_flight += 1
            self._offer(key, lane)

    def _free(self, key: str, lane: _Lane) -> None:
        lane.in_flight -= 1
        self.in_flight -= 1
        self._offer(key, lane)
        self._admit()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(self._penalty[0][0], self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._admit()
        if self._penalty:
            self._set_alarm()
