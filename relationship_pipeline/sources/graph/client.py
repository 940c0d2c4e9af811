"""One request to Graph and everything that may happen to it (graph.md 3.3, reliability.md 6).

The client retries, waits and counts; what a page is for, and what a mailbox that does not answer means, is the
caller's matter. Nothing here is logged, and no exception carries a URL, a token or a body.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import logging
import random
import re
import ssl
import sys
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from relationship_pipeline.errors import BadInput
from relationship_pipeline.sources.graph.auth import TokenSource, endpoints
from relationship_pipeline.sources.graph.faults import GraphFault, Kind, UntrustedNextLink, classify, retry_after
from relationship_pipeline.sources.graph.throttle import Throttle
from relationship_pipeline.sources.graph.wire import BadPage, error_code

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings

Decoded = TypeVar("Decoded")

LARGEST_BODY = 16 * 2**20
LARGEST_RATIO = 100
"""Decoded to wire bytes; real pages shrink 4 to 7 times, a bomb a thousand (reliability.md 6)."""
SMALL_BODY = 2**20
"""Below this a high ratio is no danger: an empty page of spaces is only that."""
LAST_EXCHANGES = 10.0
"""Seconds that requests under way get to end when a client closes."""
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


@dataclass(frozen=True)
class _Reply:
    """An answer, or with status 0 the lack of one."""

    status: int
    body: bytes
    code: str
    retry_after: float | None = None
    challenge: str = ""
    too_large: bool = False


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
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._exchanges: set[asyncio.Task[_Reply]] = set()
        self._proxy = _proxy_for(self._origin.hostname or "")
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": _user_agent()}
        quiet_http_logs()
        _settle_sniffio()

    async def __aenter__(self) -> GraphClient:
        self._context = _tls(self._settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tokens.close()
        if self._exchanges:
            _, unfinished = await asyncio.wait(self._exchanges, timeout=LAST_EXCHANGES)
            for exchange in unfinished:
                exchange.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        for connection in self._idle:
            await connection.aclose()
        self._idle.clear()

    def _connection(self) -> httpx.AsyncHTTPTransport:
        """An httpx transport of one connection, the last one used first.

        A single client with a wide pool looks at every connection for each request, each time against all others: at
        64 connections that cost more CPU than all decoding. The throttle bounds how many there are.
        """
        if self._idle:
            return self._idle.pop()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, proxy=self._proxy)

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
            async with self.throttle.slot(lane):
                reply = await self._send(url, token, prefer, headers, post)
                fault = None if reply.status in accept else _fault(reply)
                if fault is None:
                    try:
                        decoded = decode(reply.body)
                    except BadPage as bad:
                        fault = _bad_page(bad)
                if fault is not None:
                    seen[fault.kind] += 1
                self._tell_throttle(lane, fault, reply, seen)
            if fault is None:
                return decoded
            await self._recover(fault, seen, reply, token, shrinkable=shrinkable)

    def _tell_throttle(self, lane: str, fault: GraphFault | None, reply: _Reply, seen: Counter[Kind]) -> None:
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
        self, fault: GraphFault, seen: Counter[Kind], reply: _Reply, token: str, *, shrinkable: bool
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

    async def _send(
        self, url: str, token: str, prefer: str, headers: dict[str, str] | None, post: bytes | None
    ) -> _Reply:
        """One exchange, which a crawl that is stopped leaves to end by itself: httpcore loses a connection that is
        cancelled in its TLS handshake."""
        exchange = asyncio.create_task(self._exchange(url, token, prefer, headers, post))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        return await asyncio.shield(exchange)

    async def _exchange(
        self, url: str, token: str, prefer: str, headers: dict[str, str] | None, post: bytes | None
    ) -> _Reply:
        """A transport follows no redirect and reads no body by itself."""
        patience = self.patience
        timeouts = {"connect": patience.connect, "read": patience.read, "write": patience.read, "pool": None}
        connection = self._connection()
        keep = False
        try:
            request = httpx.Request(
                "GET" if post is None else "POST",
                url,
                content=post,
                headers={
                    **self._headers,
                    "Authorization": f"Bearer {token}",
                    "Prefer": prefer,
                    "client-request-id": str(uuid.uuid4()),
                    **({"Content-Type": "application/json"} if post is not None else {}),
                    **(headers or {}),
                },
                extensions={"timeout": timeouts},
            )
            async with asyncio.timeout(patience.whole):
                response = await connection.handle_async_request(request)
                try:
                    reply = await _read(response)
                finally:
                    await response.aclose()
            # A 503 may be the backend behind this connection: its retry takes another (graph.md 3.3).
            keep = reply.status != 503
            return reply
        except _Cut as cut:
            return _Reply(0, b"", cut.code, too_large=cut.too_large)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return _Reply(0, b"", type(error).__name__)
        finally:
            if keep:
                self._idle.append(connection)
            else:
                await connection.aclose()


def _place(url: SplitResult) -> tuple[str, str | None, int]:
    """Scheme, host and port; 443 is that of https whether it is written or not."""
    return url.scheme, url.hostname, url.port or 443


class _Cut(Exception):
    def __init__(self, code: str, *, too_large: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.too_large = too_large


async def _read(response: httpx.Response) -> _Reply:
    """The whole body, bounded while it is read. Raises _Cut for one that is too large, or ends before it is whole.

    It stays compressed until it is whole, so that a hundred answers under way cost a hundred compressed pages.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise _Cut("unknown_encoding")
    chunks: list[bytes] = []
    size = 0
    async for raw in response.aiter_raw():
        size += len(raw)
        if size > LARGEST_BODY:
            raise _Cut("body_too_large", too_large=True)
        chunks.append(raw)
    body = b"".join(chunks)
    if encoding == "gzip" and body:
        body = _gunzip(body)
    headers = response.headers
    status = response.status_code
    return _Reply(
        status,
        body,
        "" if status == 200 else error_code(body),
        retry_after(headers.get("retry-after"), headers.get("date")),
        headers.get("www-authenticate", ""),
    )


def _gunzip(body: bytes) -> bytes:
    gunzip = zlib.decompressobj(31)
    try:
        text = gunzip.decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        raise _Cut("broken_gzip") from None
    if len(text) > LARGEST_BODY or (len(text) > SMALL_BODY and len(text) > len(body) * LARGEST_RATIO):
        raise _Cut("body_too_large", too_large=True)
    if not gunzip.eof:
        raise _Cut("broken_gzip")
    return text


def _fault(reply: _Reply) -> GraphFault:
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


def _tls(settings: GraphSettings) -> ssl.SSLContext:
    if settings.ca_bundle is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(settings.ca_bundle))
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"setting graph.ca_bundle cannot be read: {type(error).__name__}") from None


def _proxy_for(host: str) -> str | None:
    """The proxy that the environment names for https (HTTPS_PROXY, NO_PROXY)."""
    return None if proxy_bypass(host) else getproxies().get("https")


def _user_agent() -> str:
    try:
        return f"relationship-pipeline/{version('relationship-pipeline')}"
    except PackageNotFoundError:
        return "relationship-pipeline"


def quiet_http_logs() -> None:
    """The HTTP libraries log URLs (they hold mailbox ids) and headers (they hold the token) when asked to; never here."""
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _settle_sniffio() -> None:
    """httpcore imports the optional sniffio at every lock; where it is missing, each time is a search of the whole path
    (0.2 ms a request). Noting its absence makes that one look-up."""
    if "sniffio" not in sys.modules and importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


def quoted(identifier: str) -> str:
    """An id as one path segment."""
    return quote(identifier, safe="")
