"""Calendar months in UTC: the unit of collection. Pure; no clock of its own (the caller says what time it is).

A month is written `YYYY-MM` everywhere: partition key, folder name, published column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

MONTHS_OF_HISTORY = 12
"""B1: the backfill is the 12 whole months before the month of consent."""

GRACE = timedelta(days=4)
"""B3: how long after its end a month is read again, for mail that arrived late."""

SEARCH_EVERY = timedelta(days=7)
"""graph.md 7.2 (31): how often closed months are searched for mail that was imported, moved or deleted since."""

PLANNED_AHEAD = timedelta(days=92)
"""B4: how far `planned_meetings` look past the running month."""

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def month_of(instant: datetime) -> str:
    """The UTC month that holds an aware instant."""
    return instant.astimezone(UTC).strftime("%Y-%m")


def parse_month(text: str) -> str:
    """The month itself if it is one. Raises ValueError that quotes the text and says the form."""
    if not _MONTH.fullmatch(text):
        raise ValueError(f"{text!r} is not a month; write it as YYYY-MM, for example 2026-03")
    return text


def add_months(month: str, count: int) -> str:
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + count, 12)
    return f"{year:04d}-{number + 1:02d}"


def month_start(month: str) -> datetime:
    return datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)


def month_end(month: str) -> datetime:
    """The first instant after the month."""
    return month_start(add_months(month, 1))


def month_range(first: str, last: str) -> list[str]:
    """All months from first to last, both included; empty when first is after last."""
    months = []
    while first <= last:
        months.append(first)
        first = add_months(first, 1)
    return months


def backfill_months(consented_at: datetime) -> list[str]:
    """The 12 batches of B1: the whole calendar months before the month of consent, oldest first."""
    running = month_of(consented_at)
    return month_range(add_months(running, -MONTHS_OF_HISTORY), add_months(running, -1))


def one_year_before(as_of: datetime) -> datetime:
    """N5's window start. On 29 February: 28 February of the year before, the same time of day."""
    try:
        return as_of.replace(year=as_of.year - 1)
    except ValueError:
        return as_of.replace(year=as_of.year - 1, day=28)


def window_months(as_of: datetime) -> list[str]:
    """The months that hold any instant of the window [as_of - 1 year, as_of), oldest first: 12 or 13 of them."""
    return month_range(month_of(one_year_before(as_of)), month_of(as_of - timedelta(microseconds=1)))


def planned_until(now: datetime) -> datetime:
    """Where the meetings planned at `now` end (B4): the first instant that is not looked at any more."""
    return month_end(month_of(now)) + PLANNED_AHEAD


def is_settled(month: str, instant: datetime) -> bool:
    """Whether the month's grace was over at an instant."""
    return instant >= month_end(month) + GRACE


def open_months(now: datetime, last_landed: Mapping[str, datetime], first_month: str, last: str) -> list[str]:
    """The months up to `last` that a reading at `now` or later may be asked for in the ordinary course: all from the running
    one on, and those before it that have not landed since their grace was over."""
    running = month_of(now)
    oldest = max(first_month, add_months(running, -MONTHS_OF_HISTORY))
    return [
        month
        for month in month_range(oldest, last)
        if month >= running or month not in last_landed or not is_settled(month, last_landed[month])
    ]


def months_due(
    now: datetime, last_landed: Mapping[str, datetime], first_month: str, *, search_every: timedelta | None = None
) -> list[str]:
    """The months that a refresh at `now` must read: consecutive, oldest first, the running month last (B3).

    `last_landed` is the UTC instant each month was last committed. A month is settled once it landed at or after its end
    plus the grace. The refresh starts at the oldest unsettled month that it is in charge of: one that landed too early
    (so a machine that slept over the turn of a month still closes it), or one whose grace is not over. Months that never
    landed are the backfill's business until a refresh passes over them. With `search_every` a settled month is due again
    when it landed so long ago.
    """
    running = month_of(now)
    for month in month_range(max(first_month, add_months(running, -MONTHS_OF_HISTORY)), add_months(running, -1)):
        landed = last_landed.get(month)
        if landed is None:
            is_due = not is_settled(month, now)
        else:
            is_due = not is_settled(month, landed) or (search_every is not None and now - landed >= search_every)
        if is_due:
            return month_range(month, running)
    return [running]
