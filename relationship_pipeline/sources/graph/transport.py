"""HTTPS exchanges with one host: connections that are kept, bodies that are bounded, and no exception for what the network
does. Nothing here is logged.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import ssl
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx

from relationship_pipeline.errors import BadInput
from relationship_pipeline.sources.graph.faults import retry_after
from relationship_pipeline.sources.graph.wire import error_code

LARGEST_BODY = 16 * 2**20
LARGEST_RATIO = 100
"""Decoded to wire bytes; real pages shrink 4 to 7 times, a bomb a thousand (reliability.md 6)."""
SMALL_BODY = 2**20
"""Below this a high ratio is no danger: an empty page of spaces is only that."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Stands before some of the service's error bodies; with it they are no JSON and their code would be missed."""
LAST_EXCHANGES = 10.0
"""Seconds that requests under way get to end when a client closes."""


@dataclass(frozen=True)
class Reply:
    """An answer, or with status 0 the lack of one."""

    status: int
    body: bytes
    code: str
    retry_after: float | None = None
    challenge: str = ""
    too_large: bool = False


class Transport:
    """Sends requests to one host, each on a connection of its own for as long as it takes. `connect`, `read` and `whole` are
    timeouts in seconds: for a connection, for the next bytes, for all of an exchange. Raises BadInput for a CA bundle that
    cannot be read or a proxy that cannot be used."""

    def __init__(self, host: str, ca_bundle: Path | None, *, connect: float, read: float, whole: float) -> None:
        self._context = _tls(ca_bundle)
        self._proxy = _proxy_for(host, self._context)
        self._timeouts = {"connect": connect, "read": read, "write": read, "pool": None}
        self._whole = whole
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._exchanges: set[asyncio.Task[Reply]] = set()
        quiet_http_logs()
        _settle_sniffio()

    async def close(self) -> None:
        """Let requests under way end, for a while, and close the connections."""
        if self._exchanges:
            _, unfinished = await asyncio.wait(self._exchanges, timeout=LAST_EXCHANGES)
            for exchange in unfinished:
                exchange.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        for connection in self._idle:
            await connection.aclose()
        self._idle.clear()

    async def send(self, url: str, headers: Mapping[str, str], post: bytes | None) -> Reply:
        """One exchange, a GET or with `post` a POST, which a crawl that is stopped leaves to end by itself: httpcore loses a
        connection that is cancelled in its TLS handshake."""
        exchange = asyncio.create_task(self._exchange(url, headers, post))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        return await asyncio.shield(exchange)

    async def _exchange(self, url: str, headers: Mapping[str, str], post: bytes | None) -> Reply:
        """A transport of httpx follows no redirect and reads no body by itself."""
        connection = self._connection()
        keep = False
        try:
            request = httpx.Request(
                "GET" if post is None else "POST",
                url,
                content=post,
                headers=headers,
                extensions={"timeout": self._timeouts},
            )
            async with asyncio.timeout(self._whole):
                response = await connection.handle_async_request(request)
                try:
                    reply = await _read(response)
                finally:
                    await response.aclose()
            # A 503 may be the backend behind this connection: its retry takes another (graph.md 3.3).
            keep = reply.status != 503
            return reply
        except _Cut as cut:
            return Reply(0, b"", cut.code, too_large=cut.too_large)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return Reply(0, b"", type(error).__name__)
        finally:
            if keep:
                self._idle.append(connection)
            else:
                await connection.aclose()

    def _connection(self) -> httpx.AsyncHTTPTransport:
        """An httpx transport of one connection, the last one used first.

        A single client with a wide pool looks at every connection for each request, each time against all others: at
        64 connections that cost more CPU than all decoding. The throttle bounds how many there are.
        """
        if self._idle:
            return self._idle.pop()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, proxy=self._proxy)


class _Cut(Exception):
    def __init__(self, code: str, *, too_large: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.too_large = too_large


async def _read(response: httpx.Response) -> Reply:
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
    body = body.removeprefix(BYTE_ORDER_MARK)
    headers = response.headers
    status = response.status_code
    return Reply(
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


def _tls(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca_bundle))
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"setting graph.ca_bundle cannot be read: {type(error).__name__}") from None


def _proxy_for(host: str, context: ssl.SSLContext) -> str | None:
    """The proxy that the environment names for https (HTTPS_PROXY, NO_PROXY); without a scheme it is http, as for all
    that reads this variable. Tried on here: what httpx says of one that it cannot use holds the proxy's password."""
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        usable = bool(httpx.URL(proxy).host)
        httpx.AsyncHTTPTransport(verify=context, proxy=proxy)
    except (ValueError, TypeError, ImportError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise BadInput("the environment variable HTTPS_PROXY names no proxy that can be used; write http://host:port")
    return proxy


def quiet_http_logs() -> None:
    """The HTTP libraries log URLs (they hold mailbox ids) and headers (they hold the token) when asked to; never here."""
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _settle_sniffio() -> None:
    """httpcore imports the optional sniffio at every lock; where it is missing, each time is a search of the whole path
    (0.2 ms a request). Noting its absence makes that one look-up."""
    if "sniffio" not in sys.modules and importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]
