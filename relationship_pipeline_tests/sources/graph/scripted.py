"""A Graph of a few mailboxes over real HTTPS that misbehaves exactly as one test says.

The simulator is the faithful one; this one answers plainly, and a test's `bend` replaces any answer by its own.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import trustme
import uvicorn

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.graph.client import Patience

TENANT = "9f4ee0a2-66a3-4d4f-9f10-54a1b28e8d11"
CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
ROLES = (
    "Mail.ReadBasic.All",
    "Calendars.ReadBasic.All",
    "User.Read.All",
    "GroupMember.Read.All",
    "Application.Read.All",
)
QUICK = Patience(
    first_wait=0.005,
    longest_wait=0.02,
    token_wait=(0.005, 0.01),
    connect=5,
    read=5,
    whole=10,
    park=0.01,
    sign_in_wait=0.25,
)
"""Patience on the scale of a test."""


@dataclass
class Request:
    """One request as the server saw it. `ordinal` counts this mailbox's requests of this kind from 1."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    kind: str
    mailbox: str
    ordinal: int
    at: float


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Send so many bytes of the body and hang up."""


def json_reply(document: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), {"content-type": "application/json", **named})


def graph_error(status: int, code: str, **headers: str) -> Reply:
    return json_reply({"error": {"code": code, "message": "made by a test"}}, status, **headers)


Bend = Callable[[Request, Reply], Reply | None]


def message(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
    """A message with the fields that are asked for."""
    person = {"emailAddress": {"name": "Dana Swope", "address": "danas@contoso.com"}}
    return {
        "id": f"item-{number:06d}=",
        "receivedDateTime": stamp(at),
        "lastModifiedDateTime": stamp(at),
        "sentDateTime": stamp(at),
        "internetMessageId": f"<{number}@contoso.com>",
        "conversationId": f"conversation-{number % 7}",
        "conversationIndex": None,
        "parentFolderId": "folder-inbox",
        "isDraft": False,
        "from": person,
        "sender": person,
        "toRecipients": [{"emailAddress": {"name": "Megan", "address": "megan@fabrikam.com"}}],
        "ccRecipients": [],
        **changes,
    }


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def mailbox_of(count: int, start: datetime = datetime(2026, 3, 1, tzinfo=UTC)) -> list[dict[str, Any]]:
    """Messages spread over a month, two to a second."""
    step = timedelta(days=31) / max(count, 1)
    return [message(number, start + step * (number - number % 2)) for number in range(count)]


class ScriptedGraph:
    """The server's state: what it holds, what was asked of it, and how a test bends its answers."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, list[dict[str, Any]]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.collections: dict[str, list[dict[str, Any]]] = {}
        self.folders = {"drafts": "folder-drafts", "junkemail": "folder-junk", "deleteditems": "folder-deleted"}
        self.children: dict[str, list[dict[str, Any]]] = {}
        self.roles: tuple[str, ...] = ROLES
        self.bend: Bend | None = None
        self.bend_discovery: Callable[[], Reply | None] | None = None
        self.bend_token: Callable[[int], Reply | None] | None = None
        self.requests: list[Request] = []
        self.tokens = 0
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()
        self.port = 0
        self.together: dict[str, int] = {}
        """How many requests for messages of a mailbox are held until so many are there at once; then they all go on."""
        self._gathered: dict[str, asyncio.Event] = {}
        self._ordinals: Counter[tuple[str, str]] = Counter()

    @property
    def host(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def asked(self, kind: str, mailbox: str | None = None) -> list[Request]:
        return [r for r in self.requests if r.kind == kind and mailbox in (None, r.mailbox)]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = unquote(scope["path"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if path.startswith(f"/{TENANT}/"):
            await self._send(send, await self._sign_in(path), headers)
            return
        request = self._request(path, dict(parse_qsl(scope["query_string"].decode())), headers)
        self.in_flight[request.mailbox] += 1
        self.most_in_flight[request.mailbox] = max(
            self.most_in_flight[request.mailbox], self.in_flight[request.mailbox]
        )
        try:
            if request.kind == "messages":
                await self._hold(request.mailbox)
            reply = self._answer(request)
            if self.bend is not None:
                reply = self.bend(request, reply) or reply
            await self._send(send, reply, headers)
        finally:
            self.in_flight[request.mailbox] -= 1

    async def _hold(self, mailbox: str) -> None:
        wanted = self.together.get(mailbox, 0)
        gathered = self._gathered.setdefault(mailbox, asyncio.Event())
        if self.in_flight[mailbox] >= wanted:
            gathered.set()
        await gathered.wait()
        for _ in range(20):  # others that the client would send meanwhile come in
            await asyncio.sleep(0)

    def _request(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Request:
        parts = path.split("/")[2:]
        mailbox = parts[1] if parts[0] == "users" and len(parts) > 2 else ""
        kind = "count" if parts[-1] == "$count" else parts[2] if mailbox else parts[0].partition("(")[0]
        self._ordinals[kind, mailbox] += 1
        request = Request(path, query, headers, kind, mailbox, self._ordinals[kind, mailbox], time.monotonic())
        self.requests.append(request)
        return request

    async def _sign_in(self, path: str) -> Reply:
        if path.endswith("openid-configuration"):
            bent = self.bend_discovery() if self.bend_discovery else None
            if bent is not None:
                return bent
            base = f"{self.host}/{TENANT}"
            return json_reply(
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                }
            )
        self.tokens += 1
        bent = self.bend_token(self.tokens) if self.bend_token else None
        if bent is not None:
            return bent
        claims = base64.urlsafe_b64encode(json.dumps({"roles": self.roles, "n": self.tokens}).encode()).decode()
        token = f"e30.{claims.rstrip('=')}.c2lnbmF0dXJl"
        return json_reply({"token_type": "Bearer", "expires_in": 3599, "access_token": token})

    def _answer(self, request: Request) -> Reply:
        parts = request.path.split("/")[2:]
        if not request.mailbox:
            return self._collection(request, "/".join(parts))
        if request.kind == "mailFolders":
            return self._folder(request, parts)
        if request.kind == "calendarView":
            return self._page(request, self.events.get(request.mailbox, []))
        rows = self.mailboxes.get(request.mailbox)
        if rows is None:
            return graph_error(404, "ErrorInvalidUser")
        for name, operator, value in re.findall(r"(\w+) (ge|lt) (\S+)", request.query.get("$filter", "")):
            rows = [row for row in rows if (row[name] >= value if operator == "ge" else row[name] < value)]
        if request.kind == "count":
            return Reply(200, str(len(rows)).encode(), {"content-type": "text/plain"})
        field_name = request.query.get("$orderby", "receivedDateTime").split()[0]
        return self._page(request, sorted(rows, key=lambda row: row[field_name]))

    def _collection(self, request: Request, name: str) -> Reply:
        rows = self.collections.get(name)
        return graph_error(404, "Request_ResourceNotFound") if rows is None else self._page(request, rows)

    def _folder(self, request: Request, parts: list[str]) -> Reply:
        if parts[-1] == "childFolders":
            return self._page(request, self.children.get(parts[3], []))
        if parts[3] == "inbox":
            return json_reply({"id": "folder-inbox"})
        identifier = self.folders.get(parts[3])
        if identifier is None:
            return graph_error(404, "ErrorItemNotFound")
        return json_reply({"id": identifier, "childFolderCount": len(self.children.get(identifier, []))})

    def _page(self, request: Request, rows: list[dict[str, Any]]) -> Reply:
        top, skip = int(request.query.get("$top", "10")), int(request.query.get("$skip", "0"))
        document: dict[str, Any] = {"value": rows[skip : skip + top]}
        if request.query.get("$count") == "true":
            document["@odata.count"] = len(rows)
        if skip + top < len(rows):
            document["@odata.nextLink"] = self.link(request, **{"$skip": str(skip + top)})
        return json_reply(document)

    def link(self, request: Request, **changes: str) -> str:
        query = "&".join(f"{name}={value.replace(' ', '%20')}" for name, value in {**request.query, **changes}.items())
        return f"{self.host}{request.path}?{query}"

    async def _send(self, send: Any, reply: Reply, asked: dict[str, str]) -> None:
        body, headers = reply.body, dict(reply.headers)
        if "gzip" in asked.get("accept-encoding", "") and "content-encoding" not in headers and len(body) > 100:
            body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
        headers["content-length"] = str(len(body))
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        if reply.cut is None:
            await send({"type": "http.response.body", "body": body})
        else:
            await send({"type": "http.response.body", "body": body[: reply.cut], "more_body": True})
            raise ConnectionResetError("cut by a test")


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: Any = None) -> None:
        """At once: whoever is still saying goodbye is cut off, before the loop is gone."""
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


@contextmanager
def serve(app: Any, folder: Path) -> Iterator[tuple[int, Path]]:
    """Run an ASGI app over TLS on a free loopback port; yields the port and the CA's file."""
    authority = trustme.CA()
    ca_file, cert_file = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(ca_file)
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(cert_file)
    config = uvicorn.Config(
        app, port=0, log_level="critical", ssl_certfile=str(cert_file), lifespan="off", ws="none", date_header=False
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(30), "the server did not start"
    try:
        yield server.servers[0].sockets[0].getsockname()[1], ca_file
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)


@contextmanager
def scripted_graph(folder: Path) -> Iterator[tuple[ScriptedGraph, GraphSettings]]:
    """A scripted Graph and the settings that reach it."""
    graph = ScriptedGraph()
    with serve(graph, folder) as (port, ca_file):
        graph.port = port
        yield graph, settings_for(graph.host, ca_file)


def settings_for(host: str, ca_file: Path, **changes: Any) -> GraphSettings:
    values = {
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_secret": "only-a-test",
        "base_url": f"{host}/v1.0",
        "authority": f"{host}/{TENANT}",
        "ca_bundle": ca_file,
        "page_size": 20,
        **changes,
    }
    return GraphSettings(**values)
