"""Instants as aware UTC datetimes, months as `YYYY-MM`."""

from datetime import UTC, datetime, timedelta


def instant(text):
    """ISO 8601 text as Graph writes it (up to 7 fractional digits, no offset means UTC) -> aware UTC, or None."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def month_of(moment):
    return f"{moment:%Y-%m}" if moment.year >= 1000 else "0000-00"


def month_after(month, step=1):
    """The month `step` months after `month` (before it, where negative)."""
    year, number = map(int, month.split("-"))
    index = year * 12 + number - 1 + step
    return f"{index // 12:04}-{index % 12 + 1:02}"


def month_start(month):
    return datetime.fromisoformat(f"{month}-01T00:00:00+00:00")


def year_before(moment):
    """The same day and time one year earlier; 29 February goes to 28 February."""
    try:
        return moment.replace(year=moment.year - 1)
    except ValueError:
        return moment.replace(year=moment.year - 1, day=28)


def months_up_to(as_of):
    """B1: the 12 whole months before the month of `as_of`, and that month."""
    running = month_of(as_of)
    return [month_after(running, step) for step in range(-12, 1)]


HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
