"""UTC seconds, months and thirds of months, without datetime objects on the hot path.

A *third* is the unit in which the tenant is generated: days 1-10, 11-20 and 21-end of a month. Threads run on for less
than eight days, so what was received in a window comes from its own thirds and the one before.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime
from functools import lru_cache

MINUTE, HOUR, DAY = 60, 3600, 86400
MONTH_DAYS = 365.2425 / 12
ZERO_TIME = "0001-01-01T00:00:00Z"

_CLOCK: list[str] = []


def epoch(year: int, month: int, day: int = 1) -> int:
    """Seconds since 1970 at the start of a UTC day."""
    return (date(year, month, day).toordinal() - 719163) * DAY


def parse_month(month: str) -> tuple[int, int]:
    """`2025-03` as (2025, 3). Raises ValueError for anything else."""
    year, number = month.split("-")
    if len(year) != 4 or len(number) != 2 or not 1 <= int(number) <= 12:
        raise ValueError(f"not a month (YYYY-MM): {month!r}")
    return int(year), int(number)


def month_bounds(month: str) -> tuple[int, int]:
    """First second of the month and first second after it."""
    year, number = parse_month(month)
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return epoch(year, number), epoch(*after)


def months_ending(last: str, count: int) -> tuple[str, ...]:
    """`count` months in order, the last one given."""
    year, number = parse_month(last)
    position = year * 12 + number - 1
    return tuple(f"{p // 12:04d}-{p % 12 + 1:02d}" for p in range(position - count + 1, position + 1))


def third_of(second: int) -> int:
    """The number of the third of a month in which this second lies (36 a year)."""
    day = datetime.fromtimestamp(second, UTC)
    return (day.year * 12 + day.month - 1) * 3 + min((day.day - 1) // 10, 2)


@lru_cache(maxsize=4096)
def third_bounds(third: int) -> tuple[int, int]:
    """First second of a third and first second after it."""
    months, part = divmod(third, 3)
    year, month = months // 12, months % 12 + 1
    start = epoch(year, month, 1 + 10 * part)
    days = 10 if part < 2 else monthrange(year, month)[1] - 20
    return start, start + days * DAY


@lru_cache(maxsize=8192)
def _day_text(day: int) -> str:
    return date.fromordinal(day + 719163).isoformat() + "T"


def iso(second: int) -> str:
    """`2025-03-04T09:11:05Z`, as Graph writes times of messages."""
    if not _CLOCK:
        _CLOCK.extend(f"{s // HOUR:02d}:{s // MINUTE % 60:02d}:{s % 60:02d}" for s in range(DAY))
    day, rest = divmod(second, DAY)
    return _day_text(day) + _CLOCK[rest] + "Z"


def iso7(second: int) -> str:
    """`2025-03-04T09:11:05.0000000`: the times of events have seven fractional digits and no offset."""
    return iso(second)[:-1] + ".0000000"


def parse_iso(text: str) -> int:
    """Seconds of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
