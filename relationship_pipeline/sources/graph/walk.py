"""One closed window of a mailbox, walked to its end and proven whole (graph.md 2.1, 2.4; traps 1-5, 14, 23).

Ascending order and a closed window: fresh arrivals cannot shift a page. Paging by `$skip` on a moving mailbox repeats
and loses rows, so the walk starts again at the last seen instant every few thousand rows, and whenever a link is
missing, repeats or brings nothing new. A walk that ended is only believed when it saw as many items as the service
counts afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.stage import Cursor, Unit
from relationship_pipeline.sources.graph.wire import MESSAGE_FIELDS, Message, Page, decode_count, page_decoder

RESTART_ROWS = 5_000
FLOOR = 10
"""Smallest page a heavy answer shrinks to; a corrupt item is isolated down to 1 (graph.md 2.1)."""
EMPTY_PAGES = 50
"""A page may be empty and not last; so many in a row are a loop."""
OLD_PAGES = 3
"""Pages in a row with rows but nothing new: the links go round."""
STALLS = 4
"""Restarts without anything new before the walk gives up."""
REPAIRS = 3
"""Walks again after a count that was not reached: from the last instant, then whole."""
LASTING = "count_lastingly_short"
"""Code of a walk from the start that brought nothing more and met the same count as before: another one today would not
bring more either."""
PAGES_BEFORE_GROWTH = 3
MOST_CORRUPT = 1_000
_PAGE = page_decoder(Message)


def stamp(instant: datetime) -> str:
    """An instant to the second, as Graph writes and takes it; texts of this form sort as their instants."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def window_filter(unit: Unit, start: str) -> str:
    """`$filter` from `start` to the unit's end; the property that orders comes first (graph.md 1.3)."""
    text = f"{unit.field} ge {start} and {unit.field} lt {stamp(unit.end)}"
    if unit.received is not None:
        first, last = unit.received
        text += f" and receivedDateTime ge {stamp(first)} and receivedDateTime lt {stamp(last)}"
    return text


async def count_items(client: GraphClient, unit: Unit) -> int | None:
    """How many items the service counts in the unit's window now, None where it cannot. Raises GraphFault."""
    return await client.fetch(f"{client.base}{count_url(unit)}", unit.mailbox, decode_count)


def count_url(unit: Unit) -> str:
    text = quote(window_filter(unit, stamp(unit.start)), safe=":")
    return f"/users/{quoted(unit.mailbox)}/messages/$count?$filter={text}"


class Walk:
    """The walk of one unit, from where its cursor stands.

    `known` holds hashes of the item ids that earlier parts of the unit have. `walked` counts distinct items of the
    window, `corrupt` items that the service cannot deliver, `rejected` rows that could not become a copy, by reason.
    """

    def __init__(
        self,
        client: GraphClient,
        unit: Unit,
        page_size: int,
        *,
        planned: int = 0,
        cursor: Cursor | None = None,
        known: set[int] | None = None,
    ) -> None:
        self.unit = unit
        self.rejected: dict[str, int] = dict(cursor.rejected) if cursor else {}
        self.corrupt = cursor.corrupt if cursor else 0
        self.tally: int | None = None
        self._client = client
        self._planned = planned
        # 64-bit hashes and not the ids: a unit's set stays small, and a clash among 10,000 ids has odds of 1 : 10^11.
        self._seen = known if known is not None else set()
        self._full = self._size = page_size
        self._start, self._end = stamp(unit.start), stamp(unit.end)
        self._base = self._last = cursor.position if cursor else self._start
        self._link: str | None = None
        self._links: set[int] = set()
        self._rows_since_restart = self._pages_since_shrink = 0
        self._idle_pages = self._stalls = self._pages = 0
        self._first_count: int | None = None
        self._resumed = cursor is not None
        self._isolation: _Isolation | None = None

    @property
    def walked(self) -> int:
        return len(self._seen)

    def cursor(self, *, done: bool = False) -> Cursor:
        """What is true once all rows yielded so far are stored."""
        return Cursor(
            position=self._last,
            done=done,
            walked=self.walked,
            tally=self.tally,
            corrupt=self.corrupt,
            rejected=dict(self.rejected),
        )

    async def rows(self) -> AsyncIterator[list[Message]]:
        """Rows not seen before, page by page, until the window is proven to be walked.

        Raises GraphFault; with code LASTING or `count_short` when the service counts more than it delivers,
        `paging_loop` when its links lead nowhere.
        """
        for repair in range(REPAIRS + 1):
            before, counted = self.walked, self.tally
            async for rows in self._walk_on():
                yield rows
            if await self._proven():
                return
            if repair > 1 and self.walked == before:
                if self.tally is None:
                    return  # without a count: a walk from the start that brought nothing more is all the proof there is
                if self.tally == counted:
                    raise GraphFault(Kind.TRANSIENT, 200, LASTING)
            if repair > 0:
                self._from_the_start()
            else:
                self._restart()
        raise GraphFault(Kind.TRANSIENT, 200, "count_short")

    async def _walk_on(self) -> AsyncIterator[list[Message]]:
        more = True
        while more:
            try:
                page = await self._fetch()
            except GraphFault as fault:
                self._after_fault(fault)
                continue
            rows = self._take(page)
            more = self._isolate_on(page) if self._isolation else self._follow(page, new=bool(rows))
            del page
            if rows:
                yield rows
            del rows  # a thousand messages are 3 MB, and the next page may be seconds away

    async def _fetch(self) -> Page[Message]:
        size = self._isolation.size if self._isolation else self._size
        page = await self._client.fetch(
            self._link or self._url(size),
            self.unit.mailbox,
            _PAGE,
            prefer=f"{IMMUTABLE}, odata.maxpagesize={size}",
            shrinkable=size > FLOOR,
        )
        self._pages += 1
        if self._pages == 1 and not self._resumed:
            self._first_count = page.count
        return page

    def _url(self, size: int) -> str:
        field = self.unit.field
        select = MESSAGE_FIELDS if field == "receivedDateTime" else f"{MESSAGE_FIELDS},{field}"
        url = (
            f"{self._client.base}/users/{quoted(self.unit.mailbox)}/messages?$select={select}"
            f"&$filter={quote(window_filter(self.unit, self._base), safe=':')}&$orderby={field}%20asc&$top={size}"
        )
        if self._isolation:
            return f"{url}&$skip={self._isolation.skip}"
        return f"{url}&$count=true" if self._pages == 0 else url

    def _take(self, page: Page[Message]) -> list[Message]:
        """The page's rows that are new and of the window."""
        if page.rejected:
            self.reject("wrong_shape", page.rejected)
        rows = page.rows
        by_modification = self.unit.field != "receivedDateTime"
        times = [(row.lastModifiedDateTime if by_modification else row.receivedDateTime) or "" for row in rows]
        keys = {hash(row.id) for row in rows if row.id and row.receivedDateTime}
        as_expected = len(keys) == len(rows) and self._seen.isdisjoint(keys)
        if as_expected and rows and self._start[:19] <= min(times)[:19] and max(times)[:19] < self._end[:19]:
            self._seen |= keys
            self._last = max(self._last, f"{max(times)[:19]}Z")
            return rows
        return [row for row, at in zip(rows, times, strict=True) if self._takes(row, at)]

    def _takes(self, row: Message, at: str) -> bool:
        """Whether one row is new and of the window, by the time that its window goes by."""
        if not row.id:
            self.reject("no_item_id")
            return False
        if not row.receivedDateTime:
            self.reject("no_received_time")
            return False
        if not self._start[:19] <= at[:19] < self._end[:19]:
            return False  # a fault of the service: the row is another window's
        self._last = max(self._last, f"{at[:19]}Z")
        key = hash(row.id)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def reject(self, reason: str, count: int = 1) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + count

    def _follow(self, page: Page[Message], *, new: bool) -> bool:
        """Choose the next request; False where the walk has ended."""
        if page.next_link is None:
            return False
        key = hash(page.next_link)
        repeated = key in self._links
        self._links.add(key)
        self._rows_since_restart += len(page.rows)
        self._pages_since_shrink += 1
        if new:
            self._idle_pages = self._stalls = 0
        else:
            self._idle_pages += 1
        if repeated or self._idle_pages >= (OLD_PAGES if page.rows else EMPTY_PAGES):
            self._stall()
        elif self._last > self._base and self._should_restart():
            self._restart()
        else:
            self._link = page.next_link
        return True

    def _should_restart(self) -> bool:
        if self._size < self._full and self._pages_since_shrink >= PAGES_BEFORE_GROWTH:
            self._size = min(self._full, self._size * 2)
            self._pages_since_shrink = 0
            return True
        return self._rows_since_restart >= RESTART_ROWS

    def _stall(self) -> None:
        self._stalls += 1
        if self._stalls > STALLS:
            raise GraphFault(Kind.TRANSIENT, 200, "paging_loop")
        self._restart()

    def _restart(self) -> None:
        self._base, self._link = self._last, None
        self._rows_since_restart = self._idle_pages = 0
        self._links.clear()

    def _from_the_start(self) -> None:
        self._last, self._isolation = self._start, None
        self.corrupt, self.rejected = 0, {}
        self._restart()

    def _after_fault(self, fault: GraphFault) -> None:
        """Ask for less, step over a corrupt item or restart; raises the fault where nothing helps."""
        spoiled = fault.kind is Kind.CORRUPT or (fault.kind is Kind.HEAVY and self._size <= FLOOR and fault.status == 0)
        if spoiled and self._isolation is None:
            self._restart()
            self._isolation = _Isolation(size=max(1, self._size // 2))
        elif spoiled and self._isolation:
            self.corrupt += self._isolation.narrow()
            if self.corrupt > MOST_CORRUPT:
                raise fault
        elif fault.kind is Kind.HEAVY and self._size > FLOOR and self._isolation is None:
            self._size = max(FLOOR, self._size // 2)
            self._pages_since_shrink = 0
            self._restart()
        elif fault.kind is Kind.HEAVY and self._isolation and self._isolation.size > FLOOR:
            self._isolation.size //= 2
        elif fault.kind in (Kind.RESET, Kind.NOT_FOUND):
            self._stall()
        else:
            raise fault

    def _isolate_on(self, page: Page[Message]) -> bool:
        """Step on beside a corrupt item by own offsets; back to links once the walk is past its instant."""
        isolation = self._isolation
        if page.next_link is None or isolation is None:
            return False
        isolation.passed(len(page.rows), self._last, self._full)
        if self._last > self._base and isolation.over(self._last, self._full):
            self._isolation = None
            self._restart()
        return True

    async def _proven(self) -> bool:
        """Whether at least as many items were walked as the service counts; the count is taken after the walk, over a
        window closed before it (graph.md 2.4). A window of one page carries its count with it."""
        walked = self.walked + self.corrupt + sum(self.rejected.get(reason, 0) for reason in _COUNTED)
        count = self._first_count
        if self._pages == 1 and count and self._planned <= count <= walked:
            self.tally = count
        else:
            self.tally = await count_items(self._client, self.unit)
        return self.tally is not None and walked >= self.tally


_COUNTED = ("no_item_id", "no_received_time", "wrong_shape")


@dataclass
class _Isolation:
    """Offsets from the base instant, pages halved until a failing one holds one item; that one is stepped over.

    The service counts hidden items in `$skip` too, so an own offset repeats some rows and never jumps over one.
    """

    size: int
    skip: int = 0
    found: bool = False
    behind: str | None = None

    def narrow(self) -> int:
        """After a failure: a smaller page, or over the item; returns how many items were given up."""
        if self.size > 1:
            self.size //= 2
            return 0
        self.skip += 1
        self.found, self.behind = True, None
        return 1

    def passed(self, rows: int, last: str, full: int) -> None:
        self.skip += rows
        self.size = min(full, self.size * 2)
        if self.found and self.behind is None:
            self.behind = last

    def over(self, last: str, full: int) -> bool:
        """Whether links can be followed again: past the first instant behind the item, so that a restart there does
        not meet it, or the page grew whole again without meeting anything."""
        if self.found:
            return self.behind is not None and last > self.behind
        return self.size >= full
