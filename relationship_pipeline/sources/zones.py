"""Time zones as Exchange names them: Windows names such as `Pacific Standard Time`, or IANA names (graph.md 1.5)."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

WINDOWS_ZONES: dict[str, str] = {name.lower(): zone for name, zone in win_tz.items()}
"""IANA name by Windows name in lower case, from the Unicode CLDR by way of tzlocal."""


@cache
def zone_of(name: str | None) -> ZoneInfo | None:
    """The zone that a name means, UTC for a missing one; None for a name that nobody knows."""
    text = (name or "UTC").strip()
    try:
        return ZoneInfo(WINDOWS_ZONES.get(text.lower(), text))
    except (KeyError, OSError, ValueError):  # unknown; the name of a folder of zones; no name of a file
        return None
