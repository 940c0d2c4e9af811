"""The Graph service as an ASGI application: identity, limits, faults and latency around the answers."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from email.utils import formatdate
from math import exp
from statistics import NormalDist
from typing import Any
from urllib.parse import unquote

import msgspec

from relationship_pipeline.simulator.answers import Answer, Call, data, error
from relationship_pipeline.simulator.directory import Directory, denied
from relationship_pipeline.simulator.faults import Faults, Rule
from relationship_pipeline.simulator.hashing import guid, mix, seed_of, unit
from relationship_pipeline.simulator.limiter import Lane, Limiter
from relationship_pipeline.simulator.outlook import Outlook
from relationship_pipeline.simulator.query import BadQuery, Options, signer
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import iso
from relationship_pipeline.simulator.tokens import GRAPH_APP_ID, Identity, TokenError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAIL = ("Mail.ReadBasic.All", "Mail.ReadBasic", "Mail.Read")
_CALENDAR = ("Calendars.ReadBasic.All", "Calendars.ReadBasic", "Calendars.Read")
_NEEDS: dict[str, tuple[str, ...]] = {
    "messages": _MAIL,
    "count": _MAIL,
    "mailFolders": _MAIL,
    "calendarView": _CALENDAR,
    "users": ("User.Read.All", "Directory.Read.All"),
    "groups": ("GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"),
    "servicePrincipals": ("Application.Read.All", "Directory.Read.All"),
    "roles": ("RoleManagement.Read.Directory", "Directory.Read.All"),
}
_NEEDS_BY_SEGMENT = {
    "subscribedSkus": ("LicenseAssignment.Read.All", "Organization.Read.All", "Directory.Read.All"),
    "organization": ("Organization.Read.All", "User.Read.All", "Directory.Read.All"),
    "domains": ("Domain.Read.All", "Directory.Read.All"),
    "admin": ("PeopleSettings.Read.All",),
    "oauth2PermissionGrants": ("Directory.Read.All",),
}
_ENDPOINTS = {
    "users": "users",
    "groups": "groups",
    "servicePrincipals": "servicePrincipals",
    "oauth2PermissionGrants": "servicePrincipals",
    "directoryRoles": "roles",
    "roleManagement": "roles",
}
_AGS = '{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"5","ScaleUnit":"001","RoleInstance":"AGSFE_IN_12"}}'
_GZIP_FROM = 1024
_BATCH_CAP = 20
_BATCH_WIDTH = 4  # parts of one batch that run at once (graph.md 3.1)
_LOG_LENGTH = 200_000


@dataclass
class Entry:
    """A line of the request log: when, what kind, whose mailbox, and how it ended. No tokens, no bodies."""

    at: float
    method: str
    path: str
    endpoint: str
    mailbox: str
    host: str
    ordinal: int
    client_request_id: str
    status: int = 0
    rows: int = 0
    fault: str = ""
    done_at: float = 0.0


class Clock:
    """Service time: the virtual start plus what has passed, plus what tests add. Data time moves by hand only."""

    def __init__(self, start: int) -> None:
        self._start = float(start)
        self._origin = time.monotonic()

    def now(self) -> float:
        return self._start + time.monotonic() - self._origin

    def set(self, second: float) -> None:
        self._start += second - self.now()


class GraphService:
    """The whole simulated service; an ASGI application, and the state that the control plane changes."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tenant = Tenant(scenario)
        self.clock = Clock(scenario.starts_at)
        self.identity = Identity(scenario, self.tenant.tenant_id)
        self.faults = Faults(scenario.seed, scenario.faults)
        self.limiter = Limiter(scenario.limits)
        self.outlook = Outlook(self.tenant)
        self.grants_lag = float(scenario.grants_lag_seconds)
        self.directory = Directory(self.tenant, self.identity, lambda: self.clock.now() - self.grants_lag)
        self.mailbox_states: dict[str, str] = {}  # object id -> variant of F14, until lifted
        self.log: deque[Entry] = deque(maxlen=_LOG_LENGTH)
        self.changes: list[dict[str, Any]] = []  # memberships changed by hand, for the ground truth
        self._ordinals: Counter[tuple[str, str]] = Counter()
        self._seed = seed_of("service", scenario.seed)
        self._sign = signer(self._seed.to_bytes(8, "big"))
        self._requests = 0

    # --- ASGI -----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = unquote(scope["raw_path"].decode("ascii", "replace").split("?")[0])
        body = await _read(receive) if scope["method"] == "POST" else b""
        base = f"{scope.get('scheme', 'https')}://{headers.get('host', 'localhost')}"
        self._requests += 1
        if path == "/v1.0/$batch" and scope["method"] == "POST":
            await self._batch(scope, headers, base, body, send)
        elif path.startswith("/v1.0/"):
            await self._graph(scope, headers, base, path[5:], body, send)
        else:
            await self._identity(scope["method"], headers, base, path, body, send)

    async def _identity(
        self, method: str, headers: dict[str, str], base: str, path: str, body: bytes, send: Send
    ) -> None:
        """Discovery and tokens; anything else outside /v1.0 is not found."""
        now = self.clock.now()
        tenant, _, rest = path.strip("/").partition("/")
        endpoint = {"v2.0/.well-known/openid-configuration": "discovery", "oauth2/v2.0/token": "token"}.get(rest, "")
        entry = self._entry(method, path if endpoint else "/…", endpoint or "unknown", "", headers)
        rule = self.faults.pick(endpoint, "", "", entry.ordinal, now) if endpoint else None
        entry.fault = f"{rule.kind} {rule.variant}" if rule else ""
        if rule and rule.kind in ("F5", "F6"):
            await self._send(send, entry, headers, error(503, "serviceNotAvailable"), rule)
            return
        if rule and (endpoint == "discovery") == (rule.variant == "discovery_down"):
            answer = self._refused(_sign_in_fault(rule), now)
        elif endpoint == "discovery" and not self.identity.knows(tenant):
            answer = self._refused(TokenError(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found."), now)
        elif endpoint == "discovery":
            answer = Answer(200, msgspec.json.encode(self.identity.discovery(base, tenant)), "application/json")
        elif endpoint == "token" and method == "POST":
            answer = self._token(tenant, body, base, now)
        else:
            answer = error(404, "NotFound", "The simulator has nothing here.")
        await self._send(send, entry, headers, answer, None)

    def _token(self, tenant: str, body: bytes, base: str, now: float) -> Answer:
        try:
            document = self.identity.token(tenant, body, base, now)
        except TokenError as refused:
            return self._refused(refused, now)
        return Answer(200, msgspec.json.encode(document), "application/json", {"Cache-Control": "no-store"})

    def _refused(self, refused: TokenError, now: float) -> Answer:
        """An error of the sign-in service, in its own form and not Graph's."""
        headers = {"Cache-Control": "no-store"}
        if refused.retry_after is not None:
            headers["Retry-After"] = refused.retry_after
        body = msgspec.json.encode(self.identity.error(refused, now))
        return Answer(refused.status, body, "application/json", headers)

    async def _graph(
        self, scope: Scope, headers: dict[str, str], base: str, path: str, body: bytes, send: Send
    ) -> None:
        now = self.clock.now()
        segments = tuple(part for part in path.split("/") if part)
        endpoint, mailbox, group, user = self._place(segments)
        entry = self._entry(scope["method"], path, endpoint, mailbox, headers)
        claims = self.identity.check(headers.get("authorization", ""), now)
        app = claims["appid"] if claims else ""
        lane: Lane | None = None
        refusal: Answer | None = None
        if mailbox:
            lane, throttled = self.limiter.enter(app, mailbox, now)
            if throttled:
                if throttled.limit == "MailboxConcurrency" and self.faults.active("F17", endpoint, mailbox):
                    refusal = error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
                else:
                    message = f"Application is over its {throttled.limit} limit."
                    refusal = error(429, "ApplicationThrottled", message)
                    refusal.headers["Retry-After"] = f"{throttled.seconds:.3f}"
                    self.limiter.promise(lane, now + throttled.seconds)
        try:
            rule = None
            if refusal is None:
                rule = self.faults.pick(endpoint, mailbox, group, entry.ordinal, now)
            entry.fault = f"{rule.kind} {rule.variant}" if rule else ""
            if rule is not None:
                refusal = self._strike(rule, lane, claims, now, by_id=mailbox == user)
            if refusal is None:
                # F12 and F13 change what the token is worth before it is looked at.
                claims = self.identity.check(headers.get("authorization", ""), now) if rule else claims
                try:
                    options = Options(scope["query_string"].decode("ascii", "replace"), path, self._sign)
                    call = Call(scope["method"], base, path, segments, headers, options, endpoint, mailbox, group,
                                self._sign, rule, body)  # fmt: skip
                    answer = self._answer(call, claims, user, now)
                except BadQuery as bad:
                    answer = error(400, bad.code, bad.message)
            else:
                answer = refusal
            await self._send(send, entry, headers, answer, rule)
        finally:
            if lane is not None:
                self.limiter.leave(lane)

    async def _batch(self, scope: Scope, headers: dict[str, str], base: str, body: bytes, send: Send) -> None:
        """Up to 20 GETs in one request, 4 at a time, answered in any order; a part whose `dependsOn` failed is 424. Each
        part meets limits and faults by itself; one whose connection a fault would break is 500."""
        entry = self._entry("POST", "/$batch", "batch", "", headers)
        try:
            parts = {str(part["id"]): part for part in msgspec.json.decode(body)["requests"]}
            asked = {
                key: (str(part["url"]), [str(k) for k in part.get("dependsOn", ())]) for key, part in parts.items()
            }
            whole = 0 < len(parts) <= _BATCH_CAP and all(k in parts for _, needs in asked.values() for k in needs)
        except (msgspec.DecodeError, KeyError, TypeError):
            whole = False
        if not whole:
            await self._send(send, entry, headers, error(400, "BadRequest", "Invalid batch payload format."), None)
            return
        gate = asyncio.Semaphore(_BATCH_WIDTH)
        inner = {name: value for name, value in headers.items() if name not in ("accept-encoding", "content-length")}
        running: dict[str, asyncio.Task[dict[str, Any]]] = {}

        async def answer(key: str) -> dict[str, Any]:
            url, needs = asked[key]
            for other in needs:
                if (await running[other])["status"] >= 400:
                    return {"id": key, "status": 424, "body": {"error": {"code": "FailedDependency", "message": ""}}}
            path, _, query_string = url.partition("?")
            place = {**scope, "method": "GET", "query_string": query_string.encode("ascii", "replace")}
            own = {str(name).lower(): str(value) for name, value in parts[key].get("headers", {}).items()}
            kept = _Kept()
            async with gate:
                try:
                    await self._graph(place, {**inner, **own}, base, unquote(path), b"", kept)
                    document = msgspec.json.decode(kept.body) if kept.body else None
                except (AttributeError, msgspec.DecodeError):
                    return {"id": key, "status": 500, "body": {"error": {"code": "UnknownError", "message": ""}}}
            return {"id": key, "status": kept.status, "headers": kept.headers, "body": document}

        for key in parts:
            running[key] = asyncio.create_task(answer(key))
        answers = list(await asyncio.gather(*running.values()))
        answers.sort(key=lambda part: mix(self._seed ^ seed_of(part["id"], entry.ordinal)))
        await self._send(send, entry, headers, data({"responses": answers}, len(answers)), None)

    # --- routing --------------------------------------------------------------------------------------------------

    def _place(self, segments: tuple[str, ...]) -> tuple[str, str, str, str]:
        """Endpoint family, mailbox object id, group id, and how the user was addressed."""
        if not segments:
            return "unknown", "", "", ""
        head = segments[0].partition("(")[0]
        if head == "users" and len(segments) > 2:
            person = self.tenant.people.by_key.get(segments[1]) or self.tenant.people.by_key.get(segments[1].lower())
            kind = segments[2]
            endpoint = "count" if segments[-1] == "$count" else kind if kind in _NEEDS else "messages"
            return endpoint, person.oid if person else segments[1], "", segments[1]
        group = segments[1] if head == "groups" and len(segments) > 1 else ""
        return _ENDPOINTS.get(head, "organization"), "", group, segments[1] if len(segments) > 1 else ""

    def _answer(self, call: Call, claims: dict[str, Any] | None, user: str, now: float) -> Answer:
        if claims is None:
            return _expired()
        refusal = self._permitted(call, claims)
        if refusal is not None:
            return refusal
        if call.mailbox:
            return self._mailbox(call, user)
        units = self.directory.units(call)
        for group in self.tenant.people.groups.values():
            group.settle(now)
        share, wait = self.limiter.spend(claims["appid"], units, now)
        answer = self.directory.answer(call) if wait is None else self._directory_throttled(f"{wait:.3f}")
        answer.headers["x-ms-resource-unit"] = str(units)
        if share >= 0.8:
            answer.headers["x-ms-throttle-limit-percentage"] = f"{share:.2f}"
            answer.headers["x-ms-throttle-scope"] = "Tenant_Application"
        return answer

    def _permitted(self, call: Call, claims: dict[str, Any]) -> Answer | None:
        """Roles are those of the token; in RBAC mode Exchange's current assignment adds to them."""
        roles = set(claims.get("roles", ()))
        needs = _NEEDS_BY_SEGMENT.get(call.segments[0], _NEEDS.get(call.endpoint, ()))
        if call.mailbox:
            needs = _CALENDAR if call.segments[2] == "calendarView" else _MAIL
            state = self.identity.registration
            in_scope = state.exchange_scope is None or call.mailbox in state.exchange_scope
            if in_scope and state.exchange_roles & set(needs):
                return None
        if roles & set(needs):
            return None
        if call.mailbox:
            if not roles:
                return error(403, "UnknownError", "")
            return error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        return denied()

    def _mailbox(self, call: Call, user: str) -> Answer:
        person = self.tenant.people.by_key.get(call.mailbox)
        state = self.mailbox_states.get(call.mailbox)
        if state is not None:
            answer = _mailbox_fault(state, user == call.mailbox)
            if answer is not None:
                return answer
        if person is None:
            return error(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid.")
        if not person.has_mailbox:
            return _no_mailbox()
        return self.outlook.answer(call, person.index, call.segments[2:])

    # --- faults ---------------------------------------------------------------------------------------------------

    def _strike(
        self, rule: Rule, lane: Lane | None, claims: dict[str, Any] | None, now: float, *, by_id: bool
    ) -> Answer | None:
        """What a fault answers instead of the service; None where it bends the answer or changes the state."""
        kind, variant = rule.kind, rule.variant
        state = self.identity.registration
        if kind in ("F1", "F2"):
            return self._injected_throttle(rule, lane, claims, now)
        if kind == "F3":
            answer = (
                Answer(503) if variant == "empty" else error(503, "serviceNotAvailable", "Service unavailable.", {})
            )
            if variant == "retry_after":
                answer.headers["Retry-After"] = f"{rule.seconds:.3f}"
                if lane:
                    self.limiter.promise(lane, now + rule.seconds)
            return answer
        if kind == "F4":
            return {
                "500": error(500, "ErrorInternalServerTransientError", "Try again."),
                "502": Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html"),
                "504": error(504, "UnknownError", "", {}),
            }[variant]
        if variant == "error_object":
            return error(200, "ErrorInternalServerError", "An internal server error occurred.")
        if kind == "F11":
            return _expired()
        if kind == "F12" and claims:
            state.expired_tokens.add(claims["uti"])
        elif kind == "F13":
            self._administrator(rule, now)
        elif kind == "F14":
            return _mailbox_fault(variant, by_id)
        return None

    def _administrator(self, rule: Rule, now: float) -> None:
        """F13: an administrator changes the app while the crawl runs."""
        state = self.identity.registration
        if rule.variant == "role":
            state.revoke(rule.role, now)
        elif rule.variant == "all_roles":
            for role in state.roles(now):
                state.revoke(role, now)
        elif rule.variant == "app_disabled":
            state.app_enabled = False
        elif rule.variant == "app_deleted":
            state.app_deleted = True
        else:
            state.secret_valid = False

    def _injected_throttle(self, rule: Rule, lane: Lane | None, claims: dict[str, Any] | None, now: float) -> Answer:
        seconds = 1.0 if rule.variant == "always_1" else rule.seconds
        header = {
            "decimal": f"{seconds:.3f}",
            "integer": str(max(1, round(seconds))),
            "always_1": "1",
            "date": formatdate(time.time() + self._skew() + max(1, round(seconds)), usegmt=True),
            "missing": None,
        }[rule.variant]
        if lane is None:
            answer = self._directory_throttled(header)
        else:
            answer = error(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
            if header:
                answer.headers["Retry-After"] = header
        if header:
            # An HTTP-date has whole seconds only: what it promises may be up to a second less.
            until = now + (float(header) if rule.variant != "date" else max(0.0, max(1, round(seconds)) - 1.0))
            if lane:
                self.limiter.promise(lane, until)
            elif claims:
                self.limiter.promise_directory(claims["appid"], until)
        elif lane:
            lane.throttled += 1
        return answer

    def _directory_throttled(self, retry_after: str | None) -> Answer:
        request_id = guid(self._seed, self._requests)
        inner = {"code": "429", "date": iso(int(self.clock.now()))[:-1], "message": "Please retry after",
                 "request-id": request_id, "status": "429"}  # fmt: skip
        answer = error(429, "TooManyRequests", "Please retry again later.", inner)
        if retry_after:
            answer.headers["Retry-After"] = retry_after
        return answer

    def _skew(self) -> float:
        rule = self.faults.active("F19", "users", "")
        return rule.seconds if rule else 0.0

    # --- sending --------------------------------------------------------------------------------------------------

    def _entry(self, method: str, path: str, endpoint: str, mailbox: str, headers: dict[str, str]) -> Entry:
        self._ordinals[endpoint, mailbox] += 1
        entry = Entry(time.monotonic(), method, path, endpoint, mailbox, headers.get("host", ""),
                      self._ordinals[endpoint, mailbox], headers.get("client-request-id", ""))  # fmt: skip
        self.log.append(entry)
        return entry

    def entries(self) -> list[dict[str, Any]]:
        """The request log as plain data."""
        return [asdict(entry) for entry in self.log]

    async def _send(self, send: Send, entry: Entry, request: dict[str, str], answer: Answer, rule: Rule | None) -> None:
        await self._wait(entry, answer.rows)
        entry.status, entry.rows = answer.status, answer.rows
        headers = {
            "Content-Type": answer.content_type,
            "request-id": guid(self._seed, self._requests, entry.path),
            "x-ms-ags-diagnostic": _AGS,
            "Date": formatdate(time.time() + self._skew(), usegmt=True),
            "Cache-Control": "no-cache",
            **answer.headers,
        }
        if entry.client_request_id:
            headers["client-request-id"] = entry.client_request_id
        if "prefer" in request and answer.status == 200:
            headers["Preference-Applied"] = request["prefer"]
        if answer.status == 401:
            headers.setdefault("WWW-Authenticate", f'Bearer realm="", client_id="{GRAPH_APP_ID}"')
        body = answer.body
        zipped = len(body) >= _GZIP_FROM and "gzip" in request.get("accept-encoding", "")
        try:
            if rule and rule.kind in ("F5", "F6"):
                await _send_badly(send, answer.status, headers, body, rule)
                return
            if zipped:
                body = gzip.compress(body, 1, mtime=0)
                headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
            await _start(send, answer.status, headers)
            await send({"type": "http.response.body", "body": body})
        finally:
            entry.done_at = time.monotonic()

    async def _wait(self, entry: Entry, rows: int) -> None:
        """Latency: base and rows times a log-normal factor, drawn from the place and ordinal of the request."""
        latency = self.scenario.latency
        seconds = latency.base + latency.per_row * rows
        if seconds <= 0:
            return
        if latency.tail:
            chance = mix(self._seed ^ seed_of(entry.mailbox, entry.endpoint, entry.ordinal))
            seconds *= exp(NormalDist(0.0, latency.tail).inv_cdf(min(max(unit(chance), 1e-9), 1 - 1e-9)))
        await asyncio.sleep(seconds / latency.speed)


def _expired() -> Answer:
    answer = error(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.", {})
    answer.headers["WWW-Authenticate"] = 'Bearer realm="", error="invalid_token", error_description="expired"'
    return answer


def _sign_in_fault(rule: Rule) -> TokenError:
    """F21: the sign-in service is busy or down."""
    if rule.variant == "throttled":
        wait = str(max(1, round(rule.seconds)))
        return TokenError(429, "temporarily_unavailable", 90055, "The server is too busy.", retry_after=wait)
    return TokenError(503, "temporarily_unavailable", 90033, "A transient error has occurred.")


def _no_mailbox() -> Answer:
    message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
    return error(404, "MailboxNotEnabledForRESTAPI", message)


def _mailbox_fault(variant: str, by_id: bool) -> Answer | None:
    """F14: the ways in which a mailbox does not answer. `info_stale` strikes only those who address it by name."""
    if variant == "info_stale" and by_id:
        return None
    return {
        "not_enabled": _no_mailbox(),
        "invalid_user": error(404, "ErrorInvalidUser", "The requested user is invalid."),
        "resource_not_found": error(404, "ResourceNotFound", "Resource could not be discovered."),
        "empty": Answer(404),
        "info_stale": error(503, "MailboxInfoStale", "Mailbox info is stale."),
        "access_denied": error(403, "ErrorAccessDenied", "Access to OData is disabled."),
    }[variant]


class _Kept:
    """Takes an answer instead of a connection."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


def _transport(send: Send) -> asyncio.Transport:
    """The connection itself: ASGI has no way to break one, and breaking is what F5 is about."""
    return send.__self__.transport  # type: ignore[attr-defined]


async def _send_badly(send: Send, status: int, headers: dict[str, str], body: bytes, rule: Rule) -> None:
    """F5 and F6: answers that never arrive whole."""
    variant = rule.variant
    half = max(1, len(body) // 2)
    if variant == "reset_before_headers":
        _transport(send).abort()
        return
    if variant == "slow":
        headers["Content-Length"] = str(len(body))
        await _start(send, status, headers)
        for position in range(len(body)):
            if _transport(send).is_closing():
                return
            last = position + 1 == len(body)
            await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": not last})
            await asyncio.sleep(1 / rule.bytes_per_second)
        return
    if variant == "json_cut":
        # Whole by all that HTTP can tell, but the JSON inside ends in the middle.
        packed = gzip.compress(body[:half], 1, mtime=0)
        await _start(send, status, {**headers, "Content-Encoding": "gzip", "Content-Length": str(len(packed))})
        await send({"type": "http.response.body", "body": packed})
        return
    if variant == "gzip_cut":
        # The length is right and the connection stays up; only the gzip stream lacks its end.
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        packed = packer.compress(body) + packer.flush()
        packed = packed[: max(12, len(packed) // 2)]
        await _start(send, status, {**headers, "Content-Encoding": "gzip", "Content-Length": str(len(packed))})
        await send({"type": "http.response.body", "body": packed})
        return
    if variant != "chunked_cut":
        headers["Content-Length"] = str(len(body) + (variant == "short_body"))
    await _start(send, status, headers)
    if variant == "reset_after_headers":
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    else:
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
    transport = _transport(send)
    if variant == "reset_after_headers":
        transport.abort()
    else:
        transport.close()
