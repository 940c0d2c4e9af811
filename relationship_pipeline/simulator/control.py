"""The control plane `/_sim/*`: what a test or a person changes while the service runs. Not part of Graph.

Every answer is JSON; a mistake is 400 with `{"error": "…"}`. See docs/simulator.md for the paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import msgspec

from relationship_pipeline.simulator import times, truth
from relationship_pipeline.simulator.faults import rule_from
from relationship_pipeline.simulator.hashing import mix, seed_of
from relationship_pipeline.simulator.mail import Email
from relationship_pipeline.simulator.mailbox import BY_WELL_KNOWN, Copy
from relationship_pipeline.simulator.people import Recipient
from relationship_pipeline.simulator.scenario import Latency, ScenarioError
from relationship_pipeline.simulator.service import GraphService, Receive, Scope, Send

_MAILBOX_STATES = ("not_enabled", "invalid_user", "resource_not_found", "empty", "info_stale", "access_denied")


class ControlError(ValueError):
    """A request the control plane cannot carry out; the message is the answer."""


class Control:
    """An ASGI application over one GraphService."""

    def __init__(self, service: GraphService) -> None:
        self.service = service
        self._get: dict[str, Callable[[dict[str, str]], Any]] = {
            "scenario": self._scenario,
            "truth": self._truth,
            "meetings": self._meetings,
            "requests": lambda _: service.entries(),
            "limiter": self._limiter,
            "faults": lambda _: {"rules": service.faults.rules, "struck": dict(service.faults.struck)},
            "groups": self._groups,
            "changes": lambda _: service.changes,
        }
        self._post: dict[str, Callable[[dict[str, Any]], Any]] = {
            "clock": self._clock,
            "faults": self._add_fault,
            "faults/clear": lambda _: service.faults.clear(),
            "requests/clear": lambda _: self._clear_log(),
            "roles/revoke": self._revoke,
            "roles/grant": self._grant,
            "app": self._app,
            "tokens/expire": self._expire,
            "exchange": self._exchange,
            "groups/members": self._change_member,
            "groups/delete": self._delete_group,
            "users/extension": self._extension,
            "mailboxes": self._mailbox_state,
            "messages/move": self._move,
            "messages/delete": self._delete,
            "messages/deliver": self._deliver,
            "latency": self._latency,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            status, document = 200, self.handle(scope["method"], scope["path"], scope["query_string"].decode(), body)
        except (ControlError, ScenarioError) as error:
            status, document = 400, {"error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            status, document = 400, {"error": f"{type(error).__name__}: {error}"}
        payload = msgspec.json.encode(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    def handle(self, method: str, path: str, query: str, body: bytes) -> Any:
        """Carry out one request. Raises ControlError for an unknown path or wrong values."""
        name = path.removeprefix("/_sim/").strip("/")
        if method == "GET" and name in self._get:
            return self._get[name]({key: values[0] for key, values in parse_qs(query).items()})
        if method == "POST" and name in self._post:
            document = msgspec.json.decode(body) if body else {}
            return self._post[name](document) or {"done": True}
        known = [f"GET {n}" for n in self._get] + [f"POST {n}" for n in self._post]
        raise ControlError(f"no {method} {path}; there are: {', '.join(known)}")

    # --- reading --------------------------------------------------------------------------------------------------

    def _scenario(self, _: dict[str, str]) -> dict[str, Any]:
        scenario, tenant = self.service.scenario, self.service.tenant
        people = tenant.people
        return {
            "tenant_id": tenant.tenant_id,
            "client_id": scenario.client_id,
            "administrator": people.administrator.upn,
            "domains": people.verified_domains,
            "months": scenario.months,
            "now": times.iso(tenant.now),
            "opt_out_group": people.opt_out_group,
            "dynamic_opt_out_group": people.dynamic_opt_out_group,
            "users": [
                {"id": user.oid, "upn": user.upn, "mail": user.mail, "kind": user.kind, "index": user.index}
                for user in people.users
            ],
        }

    def _corrupt(self) -> frozenset[tuple[int, int]]:
        return frozenset((mailbox, number) for (_, mailbox), number in self.service.outlook.corrupt.items())

    def _truth(self, query: dict[str, str]) -> dict[str, Any]:
        month = _month(query)
        return {
            "month": month,
            "messages": list(truth.messages(self.service.tenant, month, self._corrupt())),
            "membership_changes": self.service.changes,
        }

    def _meetings(self, query: dict[str, str]) -> dict[str, Any]:
        month = _month(query)
        return {"month": month, "meetings": list(truth.meetings(self.service.tenant, month))}

    def _limiter(self, _: dict[str, str]) -> dict[str, Any]:
        limiter = self.service.limiter
        return {
            "mailboxes": {
                mailbox: {
                    "requests": lane.requests,
                    "most_in_flight": lane.most_in_flight,
                    "throttled": lane.throttled,
                    "early": lane.early,
                }
                for (_, mailbox), lane in limiter.lanes.items()
            },
            "directory_early": sum(limiter.directory_early.values()),
        }

    def _groups(self, _: dict[str, str]) -> list[dict[str, Any]]:
        people = self.service.tenant.people
        return [
            {
                "id": group.group_id,
                "name": group.name,
                "users": [people.users[index].oid for index in sorted(group.users)],
                "groups": sorted(group.groups),
                "transitive": [people.users[index].oid for index in people.transitive_users(group.group_id)],
            }
            for group in people.groups.values()
        ]

    # --- time, faults, service ------------------------------------------------------------------------------------

    def _clock(self, asked: dict[str, Any]) -> dict[str, Any]:
        """`{"now": ISO}` sets both clocks; `{"advance": seconds}` moves the service clock only (tokens, limits)."""
        service = self.service
        if "now" in asked:
            service.tenant.now = times.parse_iso(asked["now"])
            service.clock.set(service.tenant.now)
        if "advance" in asked:
            service.clock.set(service.clock.now() + float(asked["advance"]))
        return {"now": times.iso(service.tenant.now), "service": times.iso(int(service.clock.now()))}

    def _add_fault(self, asked: dict[str, Any]) -> None:
        self.service.faults.add(rule_from(asked))

    def _clear_log(self) -> None:
        self.service.log.clear()
        self.service.limiter.lanes.clear()

    def _latency(self, asked: dict[str, Any]) -> None:
        self.service.scenario = replace(self.service.scenario, latency=Latency(**asked))

    # --- the app --------------------------------------------------------------------------------------------------

    def _revoke(self, asked: dict[str, Any]) -> None:
        """`{"role": NAME}`; without a role, all of them."""
        identity, now = self.service.identity, self.service.clock.now()
        state = identity.registration
        for role in [asked["role"]] if "role" in asked else state.roles(now):
            state.revoke(role, now)
            state.exchange_roles.discard(role)

    def _grant(self, asked: dict[str, Any]) -> None:
        self.service.identity.registration.grant(asked["role"], self.service.clock.now())

    def _app(self, asked: dict[str, Any]) -> None:
        """Any of `enabled`, `deleted`, `secret_valid`, `tenant_exists`, `grants_lag_seconds`, `token_seconds`."""
        state = self.service.identity.registration
        names = {"enabled": "app_enabled", "deleted": "app_deleted", "secret_valid": "secret_valid",
                 "tenant_exists": "tenant_exists"}  # fmt: skip
        for name, value in asked.items():
            if name in names:
                setattr(state, names[name], bool(value))
            elif name == "grants_lag_seconds":
                self.service.grants_lag = float(value)
            elif name == "token_seconds":
                self.service.identity.token_seconds = int(value)
            else:
                raise ControlError(f"unknown key {name!r}")

    def _expire(self, _: dict[str, Any]) -> None:
        """All tokens given out so far stop working at once."""
        self.service.identity.expire_all()

    def _exchange(self, asked: dict[str, Any]) -> None:
        """RBAC for Applications: `roles` (list) and `scope` (list of object ids, null for all mailboxes)."""
        state = self.service.identity.registration
        if "roles" in asked:
            state.exchange_roles = set(asked["roles"])
        if "scope" in asked:
            state.exchange_scope = None if asked["scope"] is None else set(asked["scope"])

    # --- people ---------------------------------------------------------------------------------------------------

    def _user(self, key: str) -> int:
        person = self.service.tenant.people.by_key.get(key) or self.service.tenant.people.by_key.get(key.lower())
        if person is None:
            raise ControlError("no such user; give an object id or a principal name")
        return person.index

    def _change_member(self, asked: dict[str, Any]) -> None:
        """`{"group", "user" or "nested", "in": true|false, "after": seconds}`; `after` is a dynamic group's lag."""
        people = self.service.tenant.people
        group = people.groups.get(asked["group"])
        if group is None:
            raise ControlError("no such group")
        inside = bool(asked.get("in", True))
        if "nested" in asked:
            (group.groups.add if inside else group.groups.discard)(asked["nested"])
        else:
            at = self.service.clock.now() + float(asked.get("after", 0))
            group.pending.append((at, self._user(asked["user"]), inside))
            group.settle(self.service.clock.now())
        self.service.changes.append({"at": times.iso(self.service.tenant.now), **asked})

    def _delete_group(self, asked: dict[str, Any]) -> None:
        if self.service.tenant.people.groups.pop(asked["group"], None) is None:
            raise ControlError("no such group")

    def _extension(self, asked: dict[str, Any]) -> None:
        """`{"user", "attribute": "extensionAttribute7", "value": "out"}`"""
        held = self.service.directory.extensions.setdefault(self._user(asked["user"]), {})
        held[asked["attribute"]] = asked["value"]

    def _mailbox_state(self, asked: dict[str, Any]) -> None:
        """`{"user", "state": one of F14's variants or null}`"""
        state = asked["state"]
        if state is not None and state not in _MAILBOX_STATES:
            raise ControlError(f"state is null or one of {', '.join(_MAILBOX_STATES)}")
        oid = self.service.tenant.people.users[self._user(asked["user"])].oid
        if state is None:
            self.service.mailbox_states.pop(oid, None)
        else:
            self.service.mailbox_states[oid] = state

    # --- messages -------------------------------------------------------------------------------------------------

    def _copy(self, asked: dict[str, Any]) -> Copy:
        """The message with this immutable id in this mailbox."""
        tenant = self.service.tenant
        mailbox = self._user(asked["user"])
        ids = tenant.ids(mailbox)
        for copy in tenant.mailboxes.copies(mailbox, 0, 1 << 40):
            if ids.immutable(copy.number) == asked["id"]:
                return copy
        raise ControlError("no such message in that mailbox; give its immutable id")

    def _move(self, asked: dict[str, Any]) -> None:
        folder = BY_WELL_KNOWN.get(asked["folder"])
        if folder is None:
            raise ControlError(f"folder is one of {', '.join(name for name in BY_WELL_KNOWN if name)}")
        self.service.tenant.mailboxes.move(self._copy(asked), folder, self.service.tenant.now)

    def _delete(self, asked: dict[str, Any]) -> None:
        self.service.tenant.mailboxes.delete(self._copy(asked), self.service.tenant.now)

    def _deliver(self, asked: dict[str, Any]) -> dict[str, Any]:
        """`{"mailboxes": [user…], "from", "to": […], "cc": […], "received": ISO, "message_id", "keeps_times"}` as seen
        from now on."""
        service = self.service
        received = times.parse_iso(asked["received"])
        key = seed_of("delivered", service.tenant.mailboxes.version, service.scenario.seed)
        sender = self._recipient(asked["from"])
        members = tuple(self._user(user) for user in asked["mailboxes"])
        email = Email(key, key << 64 | mix(key), received, 0, received, sender, sender.user,
                      tuple(self._recipient(a) for a in asked.get("to", ())),
                      tuple(self._recipient(a) for a in asked.get("cc", ())), members)  # fmt: skip
        email.message_id = asked.get("message_id", email.message_id)
        keeps_times = bool(asked.get("keeps_times", False))
        copies = service.tenant.mailboxes.deliver(email, received, service.tenant.now, keeps_times=keeps_times)
        return {"ids": [service.tenant.ids(copy.mailbox).immutable(copy.number) for copy in copies]}

    def _recipient(self, address: str) -> Recipient:
        person = self.service.tenant.people.by_key.get(address.lower())
        return Recipient(person.display_name if person else address, address, user=person.index if person else -1)


def _month(query: dict[str, str]) -> str:
    month = query.get("month", "")
    try:
        times.parse_month(month)
    except ValueError:
        raise ControlError("give ?month=YYYY-MM") from None
    return month
