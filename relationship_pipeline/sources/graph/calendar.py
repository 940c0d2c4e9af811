"""Reading a mailbox's meetings that start in a window, by calendarView: series unfolded, default calendar (graph.md 1.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from relationship_pipeline.schemas import INSTANT
from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.listing import COUNT_SHORT, read_what_comes
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

    async def prepare_some(self, mailboxes: Sequence[str]) -> None:
        return None

    async def prepare(self, mailbox: str) -> None:
        return None

    def finish(self, mailbox: str) -> None:
        return None

    async def read(self, unit: Unit, planned: int, on_rows: Callable[[int], None]) -> Cursor:
        with self._parts.reading():
            return await self._read(unit, on_rows)

    async def _read(self, unit: Unit, on_rows: Callable[[int], None]) -> Cursor:
        def url(size: int) -> str:
            return (
                f"{self._client.base}/users/{quoted(unit.mailbox)}/calendarView?startDateTime={stamp(unit.start)}"
                f"&endDateTime={stamp(unit.end)}&$select={EVENT_FIELDS}&$orderby=start/dateTime&$top={size}&$count=true"
            )

        listing = await read_what_comes(
            self._client,
            url(PAGE),
            unit.mailbox,
            _EVENTS,
            lambda event: event.id,
            prefer=f'outlook.timezone="UTC", {IMMUTABLE}',
            shrink=lambda: url(SMALL_PAGE),
        )
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


def _reason(event: Event) -> str:
    """Why an event's start is not known."""
    return "unknown_time_zone" if event.start and is_in_unknown_zone(event.start) else "no_start"


def _scalar(instant: datetime) -> pa.Scalar:
    return pa.scalar(instant, INSTANT)
