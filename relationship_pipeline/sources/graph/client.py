"""One request to Graph and everything that may happen to it (graph.md 3.3, reliability.md 6).

The client retries, waits and counts; what a page is for, and what a mailbox that does not answer means, is the
caller's matter. Nothing here is logged, and no exception carries a URL, a token or a body.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

from relationship_pipeline.sources.graph.auth import TokenSource, endpoints
from relationship_pipeline.sources.graph.faults import GraphFault, Kind, UntrustedNextLink, classify, retry_after
from relationship_pipeline.sources.graph.throttle import HeldTooLong, Throttle
from relationship_pipeline.sources.graph.transport import Reply, Transport
from relationship_pipeline.sources.graph.wire import BadPage

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings

Decoded = TypeVar("Decoded")

IMMUTABLE = 'IdType="ImmutableId"'


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try, in seconds; the defaults are graph.md 3.3's."""

    first_wait: float = 1.0
    longest_wait: float = 60.0
    tries: int = 6
    throttle_tries: int = 20
    token_tries: int = 3
    token_wait: tuple[float, float] = (1.5, 5.0)
    connect: float = 10.0
    read: float = 120.0
    whole: float = 300.0
    """A body that drips a byte a second never runs into `read`."""
    sign_in_wait: float = 1.0
    """Doubled six times; MSAL sends nothing for 5 s after an error of the sign-in service."""
    park: float = 30.0
    """Before parked mailboxes get another pass."""

    def backoff(self, attempt: int) -> float:
        """Full jitter over 1, 2, 4 … longest_wait seconds."""
        return random.uniform(0, min(self.longest_wait, self.first_wait * 2 ** (attempt - 1)))  # noqa: S311 - jitter


PATIENT = Patience()


class GraphClient:
    """GET requests to one Graph endpoint. Use as an async context manager; one instance serves a whole crawl."""

    def __init__(
        self,
        settings: GraphSettings,
        tokens: TokenSource,
        throttle: Throttle,
        patience: Patience = PATIENT,
    ) -> None:
        self.base = endpoints(settings).base
        self.tokens = tokens
        self.throttle = throttle
        self.patience = patience
        self.max_width = settings.max_concurrency
        self.batches = True
        """Whether the service answers `$batch`; noted by whoever finds that it does not."""
        self.requests = 0
        self.throttled = 0
        self._origin = urlsplit(self.base)
        self._settings = settings
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": _user_agent()}

    async def __aenter__(self) -> GraphClient:
        patience = self.patience
        self._transport = Transport(
            self._origin.hostname or "",
            self._settings.ca_bundle,
            connect=patience.connect,
            read=patience.read,
            whole=patience.whole,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tokens.close()
        await self._transport.close()

    def trusted(self, url: str) -> str:
        """The URL itself if it is below the configured scheme, host, port and path. Raises UntrustedNextLink."""
        try:
            parts = urlsplit(url)
            same = _place(parts) == _place(self._origin)
        except ValueError:
            raise UntrustedNextLink from None
        below = parts.path.startswith(f"{self._origin.path}/")
        plain = (
            parts.username is None and parts.password is None and "\\" not in url and "/.." not in unquote(parts.path)
        )
        if not (same and below and plain and url.isprintable()):
            raise UntrustedNextLink
        return url

    async def fetch(
        self,
        url: str,
        lane: str,
        decode: Callable[[bytes], Decoded],
        *,
        prefer: str = IMMUTABLE,
        shrinkable: bool = False,
        headers: dict[str, str] | None = None,
        post: bytes | None = None,
        accept: Collection[int] = (200,),
    ) -> Decoded:
        """GET, or POST a JSON document, and decode an answer of an accepted status, patiently. `lane` is the mailbox (or
        DIRECTORY) whose limits the request counts against.

        With `shrinkable` a page that is too much for the service or for us raises at once with kind HEAVY, so that the
        caller can ask for less. Raises GraphFault when patience ends, UntrustedNextLink, TokenRefused, Refused.
        """
        self.trusted(url)
        seen: Counter[Kind] = Counter()
        while True:
            token = await self.tokens.token()
            try:
                async with self.throttle.slot(lane):
                    reply = await self._transport.send(url, self._with_token(token, prefer, headers, post), post)
                    fault = None if reply.status in accept else _fault(reply)
                    if fault is None:
                        try:
                            decoded = decode(reply.body)
                        except BadPage as bad:
                            fault = _bad_page(bad)
                    if fault is not None:
                        seen[fault.kind] += 1
                    self._tell_throttle(lane, fault, reply, seen)
            except HeldTooLong:
                raise GraphFault(Kind.THROTTLED, 429, "held_too_long") from None
            if fault is None:
                return decoded
            await self._recover(fault, seen, reply, token, shrinkable=shrinkable)

    def _with_token(
        self, token: str, prefer: str, headers: dict[str, str] | None, post: bytes | None
    ) -> dict[str, str]:
        """The headers of one request."""
        return {
            **self._headers,
            "Authorization": f"Bearer {token}",
            "Prefer": prefer,
            "client-request-id": str(uuid.uuid4()),
            **({"Content-Type": "application/json"} if post is not None else {}),
            **(headers or {}),
        }

    def _tell_throttle(self, lane: str, fault: GraphFault | None, reply: Reply, seen: Counter[Kind]) -> None:
        self.requests += 1
        if fault is None:
            self.throttle.clean(lane)
            return
        if fault.kind is Kind.THROTTLED:
            self.throttled += 1
            count, floor = seen[fault.kind], reply.retry_after
            # Retry-After is a floor: `1` on every 429 is common, so repeats wait longer (graph.md 3.2).
            wait = self.patience.backoff(min(count, 5)) if count > 1 or floor is None else 0.0
            self.throttle.pause(lane, max(floor or 0.0, wait))
        elif reply.retry_after is not None:
            self.throttle.pause(lane, reply.retry_after)
        elif fault.kind is Kind.DENIED:
            self.throttle.pause(lane, 0.0)
        if fault.kind is Kind.THROTTLED or reply.status == 503:
            self.throttle.trouble(lane)

    def hold_back(self, lane: str, headers: Mapping[str, str]) -> None:
        """Wait with a mailbox of which a part of a batch was throttled, as the part's own headers ask."""
        named = {name.lower(): value for name, value in headers.items()}
        wait = retry_after(named.get("retry-after"), named.get("date"))
        self.throttle.pause(lane, self.patience.backoff(1) if wait is None else wait)
        self.throttle.trouble(lane)

    async def _recover(
        self, fault: GraphFault, seen: Counter[Kind], reply: Reply, token: str, *, shrinkable: bool
    ) -> None:
        """Wait before another try, or raise the fault."""
        kind, count, patience = fault.kind, seen[fault.kind], self.patience
        if kind is Kind.HEAVY and (shrinkable or reply.too_large):
            if not reply.too_large:
                await asyncio.sleep(patience.backoff(count))
            raise fault
        if kind in (Kind.TRANSIENT, Kind.HEAVY):
            if seen[Kind.TRANSIENT] + seen[Kind.HEAVY] >= patience.tries:
                raise fault
            await asyncio.sleep(patience.backoff(count))
        elif kind is Kind.THROTTLED:
            if count >= patience.throttle_tries:
                raise fault
        elif kind is Kind.CLAIMS:
            if count >= patience.token_tries:
                raise fault
            await self.tokens.renew(token, claims_of(reply.challenge))
        elif kind is Kind.TOKEN:
            if count >= patience.token_tries:
                raise fault
            if count > 1:
                # Known to hit good tokens for seconds on one backend (graph.md 3.3).
                await asyncio.sleep(random.uniform(*patience.token_wait))  # noqa: S311 - jitter
            await self.tokens.renew(token)
        elif kind is Kind.DENIED and count == 1:
            # A burst of parallel calls is answered like a refusal: once more, alone in its lane (trap 10).
            await asyncio.sleep(patience.first_wait)
        else:
            raise fault


def _place(url: SplitResult) -> tuple[str, str | None, int]:
    """Scheme, host and port; 443 is that of https whether it is written or not."""
    return url.scheme, url.hostname, url.port or 443


def _fault(reply: Reply) -> GraphFault:
    if reply.too_large:
        return GraphFault(Kind.HEAVY, reply.status, reply.code)
    if reply.status == 0:
        return GraphFault(Kind.TRANSIENT, 0, reply.code)
    kind = classify(reply.status, reply.code, empty=not reply.body.strip(), challenge=reply.challenge)
    return GraphFault(kind, reply.status, reply.code)


def _bad_page(bad: BadPage) -> GraphFault:
    """A 200 that is no page: by the code inside where there is one, else it came broken and is asked for again."""
    kind = classify(500, bad.code, empty=False)
    return GraphFault(kind if kind in (Kind.CORRUPT, Kind.THROTTLED) else Kind.TRANSIENT, 200, bad.code)


def claims_of(challenge: str) -> str | None:
    """The decoded claims of a WWW-Authenticate challenge (graph.md 3.3)."""
    found = re.search(r'claims="([^"]+)"', challenge)
    if not found:
        return None
    text = found.group(1)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_").decode()
    except ValueError:
        return None


def _user_agent() -> str:
    try:
        return f"relationship-pipeline/{version('relationship-pipeline')}"
    except PackageNotFoundError:
        return "relationship-pipeline"


def quoted(identifier: str) -> str:
    """An id as one path segment."""
    return quote(identifier, safe="")
