"""Collections that are read whole and in one go: users, members, folders, calendar views (graph.md 2.1).

Unlike mail they have no window to restart in and often no count, so nothing is believed at once that would make the
list shorter than it is: an end without rows is asked for again, and where the service gave a count the rows must reach
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.walk import EMPTY_PAGES
from relationship_pipeline.sources.graph.wire import Page

Row = TypeVar("Row")

ATTEMPTS = 4
"""Readings from the start before a list that stays short, or whose links go round, is given up."""
CONFIRMATIONS = 2
"""Times that an end without rows is asked for again before it is believed."""


async def read_all(
    client: GraphClient,
    url: str,
    lane: str,
    decode: Callable[[bytes], Page[Row]],
    key: Callable[[Row], str | None],
    *,
    prefer: str = IMMUTABLE,
    headers: dict[str, str] | None = None,
    shrink: Callable[[], str | None] = lambda: None,
) -> list[Row]:
    """All rows once, by key, over as many readings as it takes. Raises GraphFault (`count_short`, `paging_loop`).

    `shrink` gives the URL of the same list in smaller pages, for one that is too much for the service, or None.
    """
    found: dict[str, Row] = {}
    fault = GraphFault(Kind.TRANSIENT, 200, "count_short")
    smaller = 0
    attempt = 0
    while attempt < ATTEMPTS:
        try:
            expected = await _read_once(client, url, lane, decode, key, found, prefer, headers)
        except GraphFault as error:
            if error.kind is Kind.HEAVY and smaller < ATTEMPTS and (less := shrink()) is not None:
                url, smaller = less, smaller + 1
                continue
            # A page token may have died, or may have come of a retried call (trap 29): from the start again.
            if error.kind not in (Kind.RESET, Kind.HEAVY) and error.code != "paging_loop":
                raise
            fault = error
        else:
            if expected is None or len(found) >= expected:
                return list(found.values())
            fault = GraphFault(Kind.TRANSIENT, 200, "count_short")
        attempt += 1
    raise fault


async def _read_once(
    client: GraphClient,
    url: str,
    lane: str,
    decode: Callable[[bytes], Page[Row]],
    key: Callable[[Row], str | None],
    found: dict[str, Row],
    prefer: str,
    headers: dict[str, str] | None,
) -> int | None:
    """Follow the links once, adding to `found`; returns the count that the service gave, if it did."""
    expected: int | None = None
    link: str | None = url
    links: set[str] = set()
    empty = 0
    while link is not None:
        if link in links or empty > EMPTY_PAGES:
            raise GraphFault(Kind.TRANSIENT, 200, "paging_loop")
        links.add(link)
        page = await client.fetch(link, lane, decode, prefer=prefer, headers=headers, shrinkable=True)
        for _ in range(CONFIRMATIONS):
            if page.rows or page.next_link is not None:
                break
            page = await client.fetch(link, lane, decode, prefer=prefer, headers=headers, shrinkable=True)
        if expected is None:
            expected = page.count
        empty = 0 if page.rows else empty + 1
        for row in page.rows:
            name = key(row)
            if name is not None:
                found.setdefault(name, row)
        link = page.next_link
    return expected
