"""Reading a mailbox's mail of one month: the whole month, or only what is new since it was last read (B3).

What is new is asked for by `lastModifiedDateTime`, whatever its age. Mail that an import put into a month long closed may
keep its old times, so a closed month is counted as well and walked again where it grew (graph.md 7.2, 31).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from relationship_pipeline.domain.months import GRACE
from relationship_pipeline.sources.graph.batch import Question, ask, count_of
from relationship_pipeline.sources.graph.client import GraphClient
from relationship_pipeline.sources.graph.crawl import GIANT
from relationship_pipeline.sources.graph.folders import special_folders, special_folders_of
from relationship_pipeline.sources.graph.parts import Parts
from relationship_pipeline.sources.graph.stage import Cursor, Plan, Stage, Unit
from relationship_pipeline.sources.graph.state import Coverage, CrawlState
from relationship_pipeline.sources.graph.walk import Walk, count_items, count_url
from relationship_pipeline.sources.graph.wire import known_times, message_batch

OVERLAP = timedelta(hours=6)
"""How much of what was read before a refresh reads again: late deliveries, and clocks that differ."""
FULL_WALK_EVERY = timedelta(days=28)
"""Deletions leave no trace in a list, so a month is walked whole at least so often (issue 3.4); a closed one only where
its count fell."""
FOLDERS_REMEMBERED = timedelta(days=7)
"""For what is new. A month read whole asks anew: its mail keeps the class it is given then, and a folder that was deleted
meanwhile would leave its mail in a closed month for good (B6)."""
HELD_ROWS = 1_000
"""Rows held in memory for a unit before they are stored: bounds memory at width times this."""


class MailReader:
    """Reads STAGED_EMAIL rows of the window [start, end)."""

    def __init__(
        self,
        client: GraphClient,
        stage: Stage,
        state: CrawlState,
        *,
        start: datetime,
        end: datetime,
        now: datetime,
        page_size: int,
        held: Mapping[str, Coverage],
    ) -> None:
        self._client = client
        self._stage = stage
        self._parts = Parts(stage)
        self._state = state
        self._start = start
        self._end = end
        self._now = now
        self._page_size = page_size
        self._held = held
        self._folders: dict[str, dict[str, str]] = {}

    def coverage(self, mailbox: str, plan: Plan, tally: int) -> Coverage:
        """What is held of a mailbox once this reading of it, done, is committed; `tally` is what the service counted."""
        held = self._held.get(mailbox)
        if held is None or self.since(mailbox, plan) is None:
            return Coverage(read_at=plan.begun_at, walked_at=plan.begun_at, count=tally)
        return Coverage(read_at=plan.begun_at, walked_at=held.walked_at, count=held.count)

    def since(self, mailbox: str, plan: Plan) -> datetime | None:
        """From when the mailbox is read again, or None when the month is read whole."""
        held = self._held.get(mailbox)
        if held is None or self._is_outdated(held, plan.entries[mailbox].count):
            return None
        return max(self._start, min(self._end, held.read_at) - OVERLAP)

    def _is_outdated(self, held: Coverage, count: int | None) -> bool:
        """Whether what is held must be read anew: not walked since the month ended; a closed month that holds more than
        it did; or deletions not mirrored for four weeks. `count` is what the service counts in a closed month now."""
        if held.walked_at < self._end <= self._now:
            return True
        is_old = self._now - held.walked_at > FULL_WALK_EVERY
        if not self._is_closed or count is None or held.count is None:
            return is_old
        return count > held.count or (count < held.count and is_old)

    @property
    def _is_closed(self) -> bool:
        return self._now >= self._end + GRACE

    def is_sized(self, mailbox: str) -> bool:
        """Whether the mailbox's items are to be counted first: those of a month read whole, or of a closed one."""
        held = self._held.get(mailbox)
        return held is None or self._is_closed or self._is_outdated(held, None)

    async def sizes(self, mailboxes: Sequence[str]) -> dict[str, int]:
        questions = {
            str(number): Question(count_url(self._until_now(mailbox)), mailbox)
            for number, mailbox in enumerate(mailboxes)
        }
        parts = await ask(self._client, mailboxes[0], questions)
        counts = {question.mailbox: count_of(parts.get(name)) for name, question in questions.items()}
        return {mailbox: count for mailbox, count in counts.items() if count is not None}

    async def size(self, mailbox: str) -> int | None:
        return await count_items(self._client, self._until_now(mailbox))

    def _until_now(self, mailbox: str) -> Unit:
        return self._whole(mailbox, min(self._end, self._now))

    def expected(self, mailbox: str, plan: Plan) -> int:
        return plan.entries[mailbox].count or 0 if self.since(mailbox, plan) is None else 0

    def units(self, mailbox: str, plan: Plan) -> list[Unit]:
        """The month, by days for a giant. For a refresh: what was received since, and what was changed since though
        received earlier (mail that arrived late, was moved or imported)."""
        since, count = self.since(mailbox, plan), plan.entries[mailbox].count
        if since is None:
            if count is not None and count > GIANT:
                return self._days(mailbox, plan.until)
            return [self._whole(mailbox, plan.until)]
        units = [Unit(mailbox, "receivedDateTime", since, plan.until)] if since < plan.until else []
        if since > self._start:
            changed = max(self._held[mailbox].read_at - OVERLAP, self._start)
            units.append(Unit(mailbox, "lastModifiedDateTime", changed, plan.begun_at, received=(self._start, since)))
        return units

    def _whole(self, mailbox: str, until: datetime) -> Unit:
        return Unit(mailbox, "receivedDateTime", self._start, until)

    def _days(self, mailbox: str, until: datetime) -> list[Unit]:
        units, start = [], self._start
        while start < until:
            end = min(start + timedelta(days=1), until)
            units.append(Unit(mailbox, "receivedDateTime", start, end))
            start = end
        return units

    async def prepare_some(self, mailboxes: Sequence[str], plan: Plan) -> None:
        asked = {mailbox: self._folders_since(mailbox, plan) for mailbox in mailboxes}
        unknown: list[str] = []
        for since in set(asked.values()):
            alike = [mailbox for mailbox in mailboxes if asked[mailbox] == since]
            unknown += await asyncio.to_thread(self._state.without_folders, alike, since)
        if unknown:
            folders = await special_folders_of(self._client, unknown)
            await asyncio.to_thread(self._state.put_folders, folders, self._now)

    async def prepare(self, mailbox: str, plan: Plan) -> None:
        await self._learn_folders(mailbox, self._folders_since(mailbox, plan))

    def _folders_since(self, mailbox: str, plan: Plan) -> datetime:
        """From when on an answer about the mailbox's folders is young enough."""
        is_whole = self.since(mailbox, plan) is None
        return plan.begun_at if is_whole else self._now - FOLDERS_REMEMBERED

    async def _learn_folders(self, mailbox: str, since: datetime) -> None:
        folders = await asyncio.to_thread(self._state.folders, mailbox, since)
        if folders is None:
            folders = await special_folders(self._client, mailbox)
            await asyncio.to_thread(self._state.put_folders, {mailbox: folders}, self._now)
        self._folders[mailbox] = folders

    def finish(self, mailbox: str) -> None:
        self._folders.pop(mailbox, None)

    async def read(self, unit: Unit, planned: int, on_rows: Callable[[int], None]) -> Cursor:
        with self._parts.reading():
            return await self._read(unit, planned, on_rows)

    async def _read(self, unit: Unit, planned: int, on_rows: Callable[[int], None]) -> Cursor:
        cursor = self._stage.cursor(unit)
        known = {hash(item) for item in self._stage.item_ids(unit)} if cursor else None
        walk = Walk(self._client, unit, self._page_size, planned=planned, cursor=cursor, known=known)
        batches: list[pa.RecordBatch] = []
        held_rows = 0
        async for rows in walk.rows():
            if unit.mailbox not in self._folders:
                await self._learn_folders(unit.mailbox, self._now)
            batch = known_times(message_batch(unit.mailbox, rows, self._folders[unit.mailbox]), "received_at")
            if batch.num_rows < len(rows):
                walk.reject("impossible_date", len(rows) - batch.num_rows)
            batches.append(batch)
            held_rows += batch.num_rows
            on_rows(len(rows))
            del rows, batch
            if held_rows >= HELD_ROWS:
                await self._parts.put(unit, batches, walk.cursor())
                batches, held_rows = [], 0
        last = walk.cursor(done=True)
        await self._parts.put(unit, batches, last)
        return last
