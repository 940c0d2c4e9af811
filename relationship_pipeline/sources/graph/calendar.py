"""Reading a mailbox's meetings that start in a window, by calendarView: series unfolded, default calendar (graph.md 1.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from relationship_pipeline.schemas import INSTANT
from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.listing import COUNT_SHORT, Listing, read_what_comes
from relationship_pipeline.sources.graph.parts import Parts
from relationship_pipeline.sources.graph.stage import Cursor, Plan, Stage, Unit
from relationship_pipeline.sources.graph.walk import stamp
from relationship_pipeline.sources.graph.wire import (
    EVENT_FIELDS,
    Event,
    is_in_unknown_zone,
    meeting_batch,
    page_decoder,
)

PAGE = 250
SMALL_PAGE = 10
"""Series-heavy calendars answer a large page with an empty 503 (trap 9)."""
SHORTEST = timedelta(hours=1)
"""A window that cannot be read for a corrupt event is not halved further."""
MOST_SPOILED = 400
"""Such windows of one mailbox before it is taken for a fault of the whole calendar: a daily series in 92 days has half."""
_EVENTS = page_decoder(Event)


class CalendarReader:
    """Reads STAGED_MEETING rows of meetings that start in [start, end). Needs no planning pass: a calendar is small."""

    def __init__(self, client: GraphClient, stage: Stage, start: datetime, end: datetime) -> None:
        self._client = client
        self._stage = stage
        self._parts = Parts(stage)
        self._start = start
        self._end = end

    def is_sized(self, mailbox: str) -> bool:
        return False

    async def sizes(self, mailboxes: Sequence[str]) -> dict[str, int]:
        return {}

    async def size(self, mailbox: str) -> int:
        return 0

    def expected(self, mailbox: str, plan: Plan) -> int:
        return 0

    def units(self, mailbox: str, plan: Plan) -> list[Unit]:
        return [Unit(mailbox, "start", self._start, self._end)]

    async def prepare_some(self, mailboxes: Sequence[str], plan: Plan) -> None:
        return None

    async def prepare(self, mailbox: str, plan: Plan) -> None:
        return None

    def finish(self, mailbox: str) -> None:
        return None

    async def read(self, unit: Unit, planned: int, on_rows: Callable[[int], None]) -> Cursor:
        with self._parts.reading():
            return await self._read(unit, on_rows)

    async def _read(self, unit: Unit, on_rows: Callable[[int], None]) -> Cursor:
        spoiled: list[tuple[datetime, datetime]] = []
        listing = await self._view(unit.mailbox, unit.start, unit.end, spoiled)
        events = listing.rows
        # A view also holds what began before it and lasts into it; that belongs to the month it starts in.
        batch = meeting_batch(unit.mailbox, events)
        starts = batch.column("start_at")
        unknown = Counter(_reason(event) for event, start in zip(events, starts, strict=True) if not start.is_valid)
        inside = pc.and_(pc.greater_equal(starts, _scalar(unit.start)), pc.less(starts, _scalar(unit.end)))
        batch = batch.filter(inside)
        if listing.rejected:
            unknown["wrong_shape"] += listing.rejected
        cursor = Cursor(
            position=stamp(unit.end),
            done=not listing.is_short,
            walked=len(events),
            tally=len(events) + listing.rejected,
            corrupt=_runs(spoiled),
            rejected=dict(unknown),
        )
        before = self._stage.cursor(unit)
        if before is None or before.walked < cursor.walked or cursor.done:
            await self._parts.put(unit, [batch], cursor)
        on_rows(batch.num_rows)
        if listing.is_short:
            # Most of a calendar is better than none of it; the mailbox is still not read whole, and is asked again.
            raise GraphFault(Kind.TRANSIENT, 200, COUNT_SHORT)
        return cursor

    async def _view(
        self, mailbox: str, start: datetime, end: datetime, spoiled: list[tuple[datetime, datetime]]
    ) -> Listing[Event]:
        """The events of a window. One that the service cannot deliver spoils the list that it stands in: the window is
        halved until the others can be read beside it, and what then cannot be read is added to `spoiled`."""
        try:
            return await self._list(mailbox, start, end)
        except GraphFault as fault:
            if fault.kind is not Kind.CORRUPT or len(spoiled) >= MOST_SPOILED:
                raise
        if end - start <= SHORTEST:
            spoiled.append((start, end))
            return Listing([], 0, is_short=False)
        middle = (start + (end - start) / 2).replace(microsecond=0)
        early = await self._view(mailbox, start, middle, spoiled)
        late = await self._view(mailbox, middle, end, spoiled)
        events = {event.id: event for event in (*late.rows, *early.rows)}
        return Listing(list(events.values()), early.rejected + late.rejected, is_short=early.is_short or late.is_short)

    async def _list(self, mailbox: str, start: datetime, end: datetime) -> Listing[Event]:
        def url(size: int) -> str:
            return (
                f"{self._client.base}/users/{quoted(mailbox)}/calendarView?startDateTime={stamp(start)}"
                f"&endDateTime={stamp(end)}&$select={EVENT_FIELDS}&$orderby=start/dateTime&$top={size}&$count=true"
            )

        return await read_what_comes(
            self._client,
            url(PAGE),
            mailbox,
            _EVENTS,
            lambda event: event.id,
            prefer=f'outlook.timezone="UTC", {IMMUTABLE}',
            smaller=url(SMALL_PAGE),
        )


def _runs(windows: list[tuple[datetime, datetime]]) -> int:
    """How many of the windows, in order of time, do not go on where the one before them ended: an event lasts into
    several."""
    ends = {end for _, end in windows}
    return sum(start not in ends for start, _ in windows)


def _reason(event: Event) -> str:
    """Why an event's start is not known."""
    return "unknown_time_zone" if event.start and is_in_unknown_zone(event.start) else "no_start"


def _scalar(instant: datetime) -> pa.Scalar:
    return pa.scalar(instant, INSTANT)
