"""Mail folders by class (B6). Pure. Sources map Graph's well-known folders, and all below them, to these classes."""

from __future__ import annotations

from types import MappingProxyType

UNKNOWN = "unknown"
"""A source that cannot tell; such copies are kept."""
OTHER = "other"
SENT = "sent"
INBOX = "inbox"

WELL_KNOWN = MappingProxyType(
    {
        "inbox": INBOX,
        "sentitems": SENT,
        "archive": "archive",
        "clutter": "clutter",
        "drafts": "drafts",
        "outbox": "drafts",
        "junkemail": "junk",
        "deleteditems": "deleted",
        "recoverableitemsdeletions": "deleted",
        "recoverableitemspurges": "deleted",
        "recoverableitemsversions": "deleted",
        "syncissues": "sync_issues",
        "conflicts": "sync_issues",
        "localfailures": "sync_issues",
        "serverfailures": "sync_issues",
        "conversationhistory": "conversation_history",
    }
)
"""Class by Graph's well-known folder name (graph.md 1.3)."""

LEFT_OUT = frozenset({"drafts", "junk", "deleted", "sync_issues", "conversation_history"})
"""Classes whose copies are not collected."""


def class_of_name(name: str) -> str | None:
    """The class of a well-known folder by its name, however it is written (`Junk Email`, `junkemail`); else None."""
    return WELL_KNOWN.get("".join(name.split()).lower())
