"""A month of a whole tenant: plan, crawl mailbox by mailbox, say how each ended (graph.md 9.3).

What is asked of a mailbox is the reader's matter (mail.py, calendar.py); this module orders the work. Every mailbox ends
as one outcome, and an unknown failure ends as parked: never as done, never as absent.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from relationship_pipeline.errors import PipelineError
from relationship_pipeline.sources.base import Checkpoint, Progress
from relationship_pipeline.sources.graph.batch import MOST
from relationship_pipeline.sources.graph.client import GraphClient
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.lanes import LANES_A_PAIR, PAIRS, Lanes
from relationship_pipeline.sources.graph.meter import Meter
from relationship_pipeline.sources.graph.stage import Cursor, Entry, Plan, Stage, Unit
from relationship_pipeline.sources.graph.walk import LASTING

Item = TypeVar("Item")

GIANT = 5_000
"""Items in a window above which a mailbox's month is split by days, its days read side by side."""
GIANT_LANES = PAIRS * LANES_A_PAIR
LANE_WAIT = 1.0
CONSENT_SECONDS = 2.0
"""Consent is asked anew between units of work, but not more often than this. What is stored asks by itself; planning,
folders and mailboxes that fail store nothing."""
PASSES = 3
"""Times that a parked mailbox is taken up again, the first included."""
SPARE_SHARE = 8
"""One mailbox for so many of the width is opened beyond it, so that the width is used while some wait in the penalty box.
What is open when the process dies is what is fetched again."""
MOST_REFUSED = 0.5
"""Share of all mailboxes in scope. Of those that have answered so far it would say nothing: refusals are quick, and the
planning pass knows all of them before the first mailbox is read."""
FEWEST_REFUSED = 5


class Outcome(StrEnum):
    """How a mailbox ended (graph.md 2.5)."""

    DONE = "done"
    NO_MAILBOX = "no_mailbox"
    GONE = "gone"
    REFUSED = "refused"
    PARKED = "parked"


_OUTCOMES = {Kind.NO_MAILBOX: Outcome.NO_MAILBOX, Kind.GONE: Outcome.GONE, Kind.DENIED: Outcome.REFUSED}


def _as_unlicensed(fault: GraphFault) -> bool:
    """Whether this is what a user without a licence is answered, a refusal of the mailbox with status 401 (graph.md 2.5).
    Such a user has no mailbox; but that is believed only where it is said twice and others are answered."""
    return fault.kind is Kind.DENIED and fault.status == 401


def _outcome_of(fault: GraphFault) -> Outcome | None:
    """What the answer alone decides."""
    return None if _as_unlicensed(fault) else _OUTCOMES.get(fault.kind)


class Reader(Protocol):
    """What is read of each mailbox."""

    def is_sized(self, mailbox: str) -> bool:
        """Whether the planning pass asks how many items the mailbox's window holds."""

    async def sizes(self, mailboxes: Sequence[str]) -> dict[str, int]:
        """Items by mailbox, as far as one request (of at most 20 mailboxes) tells."""

    async def size(self, mailbox: str) -> int | None:
        """Items of one mailbox, None where the service cannot count them. Raises GraphFault."""

    def expected(self, mailbox: str, plan: Plan) -> int:
        """Items that the reading will bring, for order and progress; 0 where that is not known."""

    def units(self, mailbox: str, plan: Plan) -> list[Unit]:
        """The mailbox's windows."""

    async def prepare_some(self, mailboxes: Sequence[str], plan: Plan) -> None:
        """Called for up to 20 mailboxes that are to be read: what few requests tell of all of them; raises no
        GraphFault."""

    async def prepare(self, mailbox: str, plan: Plan) -> None:
        """Called once before a mailbox's units, unless none of its items were counted: what an empty mailbox need not
        be asked. Raises GraphFault."""

    def finish(self, mailbox: str) -> None:
        """Called after a mailbox's units: what was kept of it for them may go."""

    async def read(self, unit: Unit, planned: int, on_rows: Callable[[int], None]) -> Cursor:
        """Stage a unit to its end and return its last cursor. Raises GraphFault."""


@dataclass(slots=True)
class MailboxRecord:
    """What became of one mailbox; `reason` is the code that parked it."""

    outcome: Outcome
    walked: int = 0
    tally: int = 0
    corrupt: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    reason: str = ""


class Crawl:
    """One crawl over the mailboxes in scope. `now` closes the windows; a crawl that was broken off lately goes on with
    the plan it began with."""

    def __init__(
        self,
        client: GraphClient,
        stage: Stage,
        reader: Reader,
        lanes: Lanes,
        *,
        what: str,
        now: datetime,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> None:
        self._client = client
        self._stage = stage
        self._reader = reader
        self._lanes = lanes
        self._giants: set[str] = set()
        self._consent_asked = -CONSENT_SECONDS
        self._scope = self._refused = self._done = 0
        self._misunderstood: set[str] = set()
        self._unlicensed: set[str] = set()
        self._lasting: set[str] = set()
        self._what = what
        self._now = now
        self._checkpoint = checkpoint
        self._progress = progress
        self._records: dict[str, MailboxRecord] = {}
        self._plan = Plan(begun_at=now, until=now, entries={})
        self._meter = Meter(what, progress, client, 0)

    async def run(self, mailboxes: Collection[str], until: datetime) -> tuple[Plan, dict[str, MailboxRecord]]:
        """Crawl. Raises ConsentRefused from the checkpoint, TokenRefused, and PipelineError when Graph refuses most
        mailboxes; what was staged stays for the next run."""
        await self._ask_consent(at_once=True)
        await self._take_lanes()
        try:
            self._scope = len(set(mailboxes))
            self._plan = await self._make_plan(sorted(set(mailboxes)), until)
            await self._read(self._biggest_first(mailboxes))
        finally:
            self._lanes.give_back()
        self._meter.show(force=True)
        return self._plan, self._records

    async def _take_lanes(self) -> None:
        told = False
        while not self._lanes.take():
            if not told:
                self._progress(f"{self._what}: waiting for another crawl to end")
                told = True
            await asyncio.sleep(LANE_WAIT)
            await self._ask_consent(at_once=True)

    async def _ask_consent(self, *, at_once: bool = False) -> None:
        """Call the checkpoint, unless it was called just now."""
        now = time.monotonic()
        if at_once or now - self._consent_asked >= CONSENT_SECONDS:
            self._consent_asked = now
            await asyncio.to_thread(self._checkpoint)

    async def _read(self, todo: list[str]) -> None:
        self._stage.keep_only(unit for mailbox in todo for unit in self._units(mailbox))
        giants = {mailbox for mailbox in todo if len(self._units(mailbox)) > GIANT_LANES}
        if giants and self._lanes.take():
            self._giants = giants
        unread = [mailbox for mailbox in todo if self._is_to_be_prepared(mailbox)]
        await self._lots("prepared", unread, lambda lot: self._reader.prepare_some(lot, self._plan))
        self._meter = Meter(
            self._what, self._progress, self._client, len(todo), sum(self._expected(mailbox) for mailbox in todo)
        )
        for attempt in range(1, PASSES + 1):
            await self._ask_consent(at_once=True)
            await self._each(todo, self._mailbox)
            self._stop_if_nobody_is_answered()
            todo = [
                mailbox
                for mailbox in todo
                if self._records[mailbox].outcome is Outcome.PARKED and mailbox not in self._lasting
            ]
            if not todo or attempt == PASSES:
                return
            self._progress(f"{self._what}: {len(todo)} mailboxes did not answer; trying them again")
            await asyncio.sleep(self._client.patience.park)

    async def _make_plan(self, mailboxes: list[str], until: datetime) -> Plan:
        """Sizes first: they order the work, tell how long it takes, and answer the question of the cap before any bulk
        download."""
        plan = self._stage.read_plan(self._now) or Plan(begun_at=self._now, until=until, entries={})
        entries = dict(plan.entries)
        missing = [mailbox for mailbox in mailboxes if mailbox not in entries]
        entries.update((mailbox, Entry()) for mailbox in missing)
        self._note_refused(sum(entries[mailbox].outcome == Outcome.REFUSED for mailbox in mailboxes))
        await self._size([mailbox for mailbox in missing if self._reader.is_sized(mailbox)], entries)
        counts = [count for mailbox in mailboxes if (count := entries[mailbox].count) is not None]
        if counts:
            self._progress(f"{self._what}: {len(counts):,} mailboxes hold {sum(counts):,} items")
        plan = Plan(begun_at=plan.begun_at, until=plan.until, entries=entries)
        if missing:
            await asyncio.to_thread(self._stage.put_plan, plan)
        return plan

    async def _size(self, mailboxes: list[str], entries: dict[str, Entry]) -> None:
        """Fill in the mailboxes' entries: many with one request, then one by one what that left open."""

        async def some(asked: Sequence[str]) -> None:
            entries.update((name, Entry(count=count)) for name, count in (await self._reader.sizes(asked)).items())

        async def one(mailbox: str) -> None:
            try:
                entries[mailbox] = Entry(count=await self._reader.size(mailbox))
            except GraphFault as fault:
                outcome = _outcome_of(fault)
                # Not known yet is not an outcome: the crawl itself will ask again.
                entries[mailbox] = Entry(outcome=outcome.value if outcome else None)
                if _as_unlicensed(fault):
                    self._unlicensed.add(mailbox)
                self._note_refused(outcome is Outcome.REFUSED)

        await self._lots("sized", mailboxes, some)
        await self._each([mailbox for mailbox in mailboxes if entries[mailbox].count is None], one)

    def _biggest_first(self, mailboxes: Iterable[str]) -> list[str]:
        todo = []
        for mailbox in mailboxes:
            entry = self._plan.entries[mailbox]
            if entry.outcome is not None:
                self._records[mailbox] = MailboxRecord(Outcome(entry.outcome))
            else:
                todo.append(mailbox)
        return sorted(todo, key=lambda mailbox: (-self._expected(mailbox), mailbox))

    async def _mailbox(self, mailbox: str) -> None:
        units = self._units(mailbox)
        lanes = GIANT_LANES if mailbox in self._giants else LANES_A_PAIR
        self._client.throttle.widen(mailbox, lanes)
        cursors: list[Cursor] = []
        failed: list[GraphFault] = []
        waiting = deque(units)
        planned = self._expected(mailbox) if len(units) == 1 else 0

        async def work() -> None:
            while waiting:
                unit = waiting.popleft()
                await self._ask_consent()
                try:
                    cursors.append(await self._unit(unit, planned))
                except GraphFault as fault:
                    failed.append(fault)
                    if fault.kind in _OUTCOMES:
                        waiting.clear()

        try:
            if self._is_to_be_prepared(mailbox):
                await self._reader.prepare(mailbox, self._plan)
        except GraphFault as fault:
            failed.append(fault)
        else:
            await _all(work() for _ in range(min(lanes, len(units))))
        self._reader.finish(mailbox)
        self._client.throttle.forget(mailbox)
        outcome = self._note(mailbox, cursors, failed)
        if outcome is not Outcome.PARKED:
            self._meter.mailboxes += 1
        if mailbox in self._giants:
            self._giants.discard(mailbox)
            if not self._giants:
                self._lanes.give_back(keep=1)
        self._meter.show()

    def _units(self, mailbox: str) -> list[Unit]:
        return self._reader.units(mailbox, self._plan)

    def _expected(self, mailbox: str) -> int:
        return self._reader.expected(mailbox, self._plan)

    def _is_read(self, units: Iterable[Unit]) -> bool:
        return all((cursor := self._stage.cursor(unit)) is not None and cursor.done for unit in units)

    def _is_to_be_prepared(self, mailbox: str) -> bool:
        return self._plan.entries[mailbox].count != 0 and not self._is_read(self._units(mailbox))

    async def _unit(self, unit: Unit, planned: int) -> Cursor:
        cursor = self._stage.cursor(unit)
        if cursor is not None and cursor.done:
            self._meter.add(cursor.walked)
            return cursor
        return await self._reader.read(unit, planned, self._meter.add)

    def _record(self, mailbox: str, cursors: list[Cursor], failed: list[GraphFault]) -> MailboxRecord:
        outcomes = {_outcome_of(fault) for fault in failed}
        outcome = next((name for name in _OUTCOMES.values() if name in outcomes), None)
        if any(_as_unlicensed(fault) for fault in failed):
            # One such answer may be a fault of the service, so it is asked again; and what has items has a mailbox.
            if outcome is None and mailbox in self._unlicensed and not any(cursor.walked for cursor in cursors):
                outcome = Outcome.NO_MAILBOX
            self._unlicensed.add(mailbox)
        if outcome is None:
            outcome = Outcome.PARKED if failed else Outcome.DONE
        rejected: Counter[str] = Counter()
        for cursor in cursors:
            rejected.update(cursor.rejected)
        return MailboxRecord(
            outcome,
            walked=sum(cursor.walked for cursor in cursors),
            tally=sum(cursor.tally or 0 for cursor in cursors),
            corrupt=sum(cursor.corrupt for cursor in cursors),
            rejected=rejected,
            reason=failed[0].code or str(failed[0].status) if failed else "",
        )

    def _note(self, mailbox: str, cursors: list[Cursor], failed: list[GraphFault]) -> Outcome:
        """Keep a mailbox's record and its place in the counts. They run on: counting all records anew after each mailbox
        would take a large tenant minutes."""
        record = self._records[mailbox] = self._record(mailbox, cursors, failed)
        self._done += record.outcome is Outcome.DONE
        if failed and all(fault.code == LASTING for fault in failed):
            self._lasting.add(mailbox)
        self._stop_if_misunderstood(mailbox, failed)
        self._note_refused(record.outcome is Outcome.REFUSED)
        return record.outcome

    def _stop_if_misunderstood(self, mailbox: str, failed: Iterable[GraphFault]) -> None:
        """Some odd mailboxes may answer 400; all of them mean that the request is wrong, and trying on would hide it."""
        code = next((fault.code for fault in failed if fault.kind is Kind.CALLER), None)
        if code is None:
            return
        self._misunderstood.add(mailbox)
        count = len(self._misunderstood)
        if count >= FEWEST_REFUSED and count > MOST_REFUSED * self._scope and not self._done:
            raise PipelineError(
                f"Microsoft Graph does not take our requests ({code}): a defect of this version, please report it"
            )

    def _stop_if_nobody_is_answered(self) -> None:
        """Users without a licence stand beside others; where nobody is answered, the application is refused, and that
        must not end as a month without mailboxes."""
        if self._unlicensed and all(
            record.outcome is Outcome.REFUSED or (mailbox in self._unlicensed and record.outcome is not Outcome.DONE)
            for mailbox, record in self._records.items()
        ):
            raise PipelineError(
                f"Microsoft Graph lets the application read none of {self._scope} mailboxes (AuthenticationError); "
                "`relationship-pipeline doctor` says what is missing"
            )

    def _note_refused(self, count: int) -> None:
        """Few refusals are a policy; most of the mailboxes are a lost permission, and nothing may then look like an empty
        month. Raised as soon as the others cannot make up for it any more, not after asking all of them."""
        self._refused += count
        if self._refused > MOST_REFUSED * self._scope and self._scope >= 2 * FEWEST_REFUSED:
            raise PipelineError(
                f"Microsoft Graph refuses at least {self._refused} of {self._scope} mailboxes; `relationship-pipeline "
                "doctor` says what is missing. Where a policy narrows the application to some mailboxes, set [scope] "
                "groups to the same group"
            )

    async def _lots(
        self, done: str, mailboxes: Sequence[str], work: Callable[[Sequence[str]], Awaitable[None]]
    ) -> None:
        """Work on as many mailboxes at a time as one batch takes; `done` says in the progress line what they then are."""
        count = 0

        async def one(lot: Sequence[str]) -> None:
            nonlocal count
            await work(lot)
            count += len(lot)
            if count % 1000 < len(lot) <= count:
                self._progress(f"{self._what}: {done} {count:,} of {len(mailboxes):,} mailboxes")

        await self._each([mailboxes[first : first + MOST] for first in range(0, len(mailboxes), MOST)], one)

    async def _each(self, items: Sequence[Item], work: Callable[[Item], Awaitable[None]]) -> None:
        """Work on mailboxes, or lots of them, in order, while consent is there; so many at once that the width is used."""
        waiting = deque(items)

        async def worker() -> None:
            while waiting:
                item = waiting.popleft()
                await self._ask_consent()
                await work(item)

        width = self._client.max_width
        count = min(len(items), width + width // SPARE_SHARE)
        await _all(worker() for _ in range(count))


async def _all(jobs: Iterable[Awaitable[None]]) -> None:
    """Run jobs side by side; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
