"""What an answer of Graph that is no page means, as pure data (graph.md 2.5, 3.2, 3.3).

Never by the message text, never by the status alone where a code is known; an unknown failure is transient with a
bound, so that it can end as parked but never as done (graph.md 3.3).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from relationship_pipeline.errors import PipelineError


class Kind(StrEnum):
    """Classes of failure, each with one way to act on it."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    HEAVY = "heavy"
    """Too much for one answer: ask for a smaller page (graph.md 2.1)."""
    CORRUPT = "corrupt"
    """One bad item spoils its page: isolate it and step over."""
    TOKEN = "token"  # noqa: S105 - a class of failure
    CLAIMS = "claims"
    RESET = "reset"
    DENIED = "denied"
    NO_MAILBOX = "no_mailbox"
    GONE = "gone"
    NOT_FOUND = "not_found"
    """An item or folder, not the mailbox."""
    CALLER = "caller"


PASSING = frozenset({Kind.THROTTLED, Kind.TRANSIENT, Kind.HEAVY, Kind.RESET})
"""What may be gone in a minute, though patience within one request has ended."""


class GraphFault(PipelineError):
    """Graph would not answer a request, after all that patience could do. The text names status and code only."""

    def __init__(self, kind: Kind, status: int, code: str) -> None:
        super().__init__(f"Microsoft Graph answered {status or 'nothing'} {code or '(no code)'}")
        self.kind = kind
        self.status = status
        self.code = code


class UntrustedNextLink(PipelineError):
    """A link leads away from the configured Graph; it was not followed and is not shown."""

    def __init__(self) -> None:
        super().__init__("Microsoft Graph handed out a link to another host, port or path; it was not followed")


_BY_CODE: dict[str, Kind] = {
    "applicationthrottled": Kind.THROTTLED,
    "toomanyrequests": Kind.THROTTLED,
    "activitylimitreached": Kind.THROTTLED,
    "mailboxnotenabledforrestapi": Kind.NO_MAILBOX,
    "mailboxnotsupportedforrestapi": Kind.NO_MAILBOX,
    "extensionerror": Kind.NO_MAILBOX,
    "errorcorruptdata": Kind.CORRUPT,
    "errorinvalidrecipients": Kind.CORRUPT,
    "syncstatenotfound": Kind.RESET,
    "syncstateinvalid": Kind.RESET,
    "resyncrequired": Kind.RESET,
    "directorypagetokennotfoundexception": Kind.RESET,
    "directory_expiredpagetoken": Kind.RESET,
}
_404: dict[str, Kind] = {
    "resourcenotfound": Kind.GONE,
    "errorinvaliduser": Kind.GONE,
    "request_resourcenotfound": Kind.GONE,
    "erroritemnotfound": Kind.NOT_FOUND,
    "errorfoldernotfound": Kind.NOT_FOUND,
    "errorsyncfoldernotfound": Kind.NOT_FOUND,
}
_DENIED = frozenset({"erroraccessdenied", "accessdenied", "authorization_requestdenied", "forbidden"})


def classify(status: int, code: str, *, empty: bool, challenge: str = "") -> Kind:
    """The class of a failed answer. `code` in any case, `empty` whether the body was, `challenge` the WWW-Authenticate
    header."""
    code = code.lower()
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if status == 429:
        return Kind.THROTTLED
    if status == 401:
        return _unauthorized(code, challenge)
    if status == 403 and code in _DENIED:
        return Kind.DENIED
    if status == 404:
        return _404.get(code, Kind.TRANSIENT)
    if status == 410:
        return Kind.RESET
    if status == 504 or (status == 503 and empty):
        return Kind.HEAVY
    if status == 400 and not empty and code:
        return Kind.CALLER
    return Kind.TRANSIENT


def _unauthorized(code: str, challenge: str) -> Kind:
    if "insufficient_claims" in challenge:
        return Kind.CLAIMS
    # Also the answer for a user without a licence: that mailbox's matter, not the token's (graph.md 2.5).
    return Kind.DENIED if code == "authenticationerror" else Kind.TOKEN


LONGEST_RETRY_AFTER = 86_400.0
"""A day: what asks for more is a header gone wrong."""


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Seconds a Retry-After asks for: whole, decimal (trap 24) or an HTTP-date, which counts from the answer's own Date
    header because server clocks stray. None when missing or absurd; never more than LONGEST_RETRY_AFTER."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
            now = parsedate_to_datetime(date) if date else datetime.now(UTC)
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError):
            return None
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER)
