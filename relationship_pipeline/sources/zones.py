"""Time zones as Exchange names them: Windows names such as `Pacific Standard Time`, or IANA names (graph.md 1.5)."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tzlocal.windows_tz import win_tz

WINDOWS_ZONES: dict[str, str] = {name.lower(): zone for name, zone in win_tz.items()}
"""IANA name by Windows name in lower case, from the Unicode CLDR by way of tzlocal."""


_UTC_AS_A_LINK = "tzone://microsoft/utc"
"""What Exchange itself writes for UTC in some items; its `tzone://Microsoft/Custom` names no zone."""


@cache
def zone_of(name: str | None) -> ZoneInfo | None:
    """The zone that a name in any case means, UTC for a missing one; None for a name that nobody knows."""
    text = (name or "").strip().lower() or "utc"
    known = "UTC" if text == _UTC_AS_A_LINK else WINDOWS_ZONES.get(text) or _iana_names().get(text)
    try:
        return ZoneInfo(known) if known else None
    except ZoneInfoNotFoundError:  # a Windows name for a zone that this system's list leaves out
        return None


@cache
def _iana_names() -> dict[str, str]:
    """IANA names by themselves in lower case: file names, which most systems tell apart by case."""
    return {name.lower(): name for name in available_timezones()}
