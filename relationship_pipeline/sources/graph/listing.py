"""Collections that are read whole and in one go: users, members, folders, calendar views (graph.md 2.1).

Unlike mail they have no window to restart in and often no count, so nothing is believed at once that would make the
list shorter than it is: an end without rows is asked for again, and where the service gave a count the rows must reach
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.walk import EMPTY_PAGES
from relationship_pipeline.sources.graph.wire import Page

Row = TypeVar("Row")

COUNT_SHORT = "count_short"
ATTEMPTS = 4
"""Readings from the start before a list that stays short, or whose links go round, is given up."""
CONFIRMATIONS = 2
"""Times that an end without rows is asked for again before it is believed."""


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """What came of a list: its rows, how many more were of no shape that can be read, and whether the service counts
    more than it delivers, reading after reading."""

    rows: list[Row]
    rejected: int
    is_short: bool


async def read_all(
    client: GraphClient,
    url: str,
    lane: str,
    decode: Callable[[bytes], Page[Row]],
    key: Callable[[Row], str | None],
    *,
    prefer: str = IMMUTABLE,
    headers: dict[str, str] | None = None,
) -> list[Row]:
    """All rows once, by key, over as many readings as it takes. Raises GraphFault (`wrong_shape`, `count_short`,
    `paging_loop`) for a list that is not whole."""
    listing = await read_what_comes(client, url, lane, decode, key, prefer=prefer, headers=headers)
    if listing.rejected:
        raise GraphFault(Kind.TRANSIENT, 200, "wrong_shape")
    if listing.is_short:
        raise GraphFault(Kind.TRANSIENT, 200, COUNT_SHORT)
    return listing.rows


async def read_what_comes(
    client: GraphClient,
    url: str,
    lane: str,
    decode: Callable[[bytes], Page[Row]],
    key: Callable[[Row], str | None],
    *,
    prefer: str = IMMUTABLE,
    headers: dict[str, str] | None = None,
    smaller: str | None = None,
) -> Listing[Row]:
    """As `read_all`, for a list of which a part is better than nothing.

    `smaller` is the URL of the same list in smaller pages, for one that is too much for the service. Where there is
    none (left), the same page is asked for as patiently as any other: a gateway in trouble answers like a heavy page.
    """
    found: dict[str, Row] = {}
    fault: GraphFault | None = None
    rejected = attempt = 0
    while attempt < ATTEMPTS:
        try:
            expected, rejected = await _read_once(
                client, url, lane, decode, key, found, prefer, headers, shrinkable=smaller is not None
            )
        except GraphFault as error:
            if error.kind is Kind.HEAVY and smaller is not None:
                url, smaller = smaller, None
                continue
            # A page token may have died, or may have come of a retried call (trap 29): from the start again.
            if error.kind not in (Kind.RESET, Kind.HEAVY) and error.code != "paging_loop":
                raise
            fault = error
        else:
            if expected is None or len(found) + rejected >= expected:
                return Listing(list(found.values()), rejected, is_short=False)
            fault = None
        attempt += 1
    if fault is not None:
        raise fault
    return Listing(list(found.values()), rejected, is_short=True)


async def _read_once(
    client: GraphClient,
    url: str,
    lane: str,
    decode: Callable[[bytes], Page[Row]],
    key: Callable[[Row], str | None],
    found: dict[str, Row],
    prefer: str,
    headers: dict[str, str] | None,
    *,
    shrinkable: bool,
) -> tuple[int | None, int]:
    """Follow the links once, adding to `found`; returns the count that the service gave, if it did, and how many rows
    were of a wrong shape."""
    expected: int | None = None
    rejected = 0
    link: str | None = url
    links: set[str] = set()
    empty = 0
    while link is not None:
        if link in links or empty > EMPTY_PAGES:
            raise GraphFault(Kind.TRANSIENT, 200, "paging_loop")
        links.add(link)
        page = await client.fetch(link, lane, decode, prefer=prefer, headers=headers, shrinkable=shrinkable)
        for _ in range(CONFIRMATIONS):
            if page.rows or page.rejected or page.next_link is not None:
                break
            page = await client.fetch(link, lane, decode, prefer=prefer, headers=headers, shrinkable=shrinkable)
        if expected is None:
            expected = page.count
        rejected += page.rejected
        empty = 0 if page.rows else empty + 1
        for row in page.rows:
            name = key(row)
            if name is None:
                rejected += 1
            else:
                found.setdefault(name, row)
        link = page.next_link
    return expected, rejected
