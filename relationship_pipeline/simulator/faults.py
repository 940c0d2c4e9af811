"""The fault catalogue: what goes wrong, where, how often. Every decision is a hash of seed, place and request ordinal.

A rule is `{kind: F1, variant: decimal, endpoint: messages, mailbox: <oid>, nth: [3], rate: 0.1, count: 5, ...}`.
Without `nth` and `rate` it always applies; `mailbox: own` leaves out requests that are not about one mailbox. F10 and
F15 belong to delta queries, which are not simulated; F20 (very long recipient lists) and the sender clocks of F19 are
data: see `Realism.huge_recipients` and `Realism.bad_clocks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from relationship_pipeline.simulator.hashing import mix, seed_of, unit
from relationship_pipeline.simulator.scenario import ScenarioError

_RETRY_AFTER = ("decimal", "integer", "date", "missing", "always_1")
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "F1": _RETRY_AFTER,
    "F2": _RETRY_AFTER,
    "F3": ("json", "empty", "retry_after"),
    "F4": ("500", "502", "504"),
    "F5": ("reset_before_headers", "reset_after_headers", "short_body", "chunked_cut", "gzip_cut", "json_cut"),
    "F6": ("slow",),
    "F7": ("error_object", "empty_value"),
    "F8": ("repeat", "previous", "missing"),
    "F9": ("duplicate", "moved"),
    "F11": ("once", "minutes"),
    "F12": ("expired",),
    "F13": ("role", "all_roles", "app_disabled", "app_deleted", "secret_expired"),
    "F14": ("not_enabled", "invalid_user", "resource_not_found", "empty", "info_stale", "access_denied"),
    "F16": ("corrupt",),
    "F17": ("access_denied",),
    "F18": ("not_found", "forbidden", "null_members"),
    "F19": ("date_ahead",),
    "F21": ("throttled", "server_error", "discovery_down"),
}
OUTLOOK = frozenset({"messages", "count", "mailFolders", "calendarView"})
DIRECTORY = frozenset({"users", "groups", "servicePrincipals", "organization", "roles"})
_DEFAULT_ENDPOINTS: Mapping[str, frozenset[str]] = {
    "F1": OUTLOOK,
    "F2": DIRECTORY,
    "F7": OUTLOOK | DIRECTORY,
    "F8": frozenset({"messages", "calendarView"}),
    "F9": frozenset({"messages"}),
    "F14": OUTLOOK,
    "F16": frozenset({"messages"}),
    "F17": OUTLOOK,
    "F18": frozenset({"groups"}),
    "F21": frozenset({"token", "discovery"}),
}
_EVERYWHERE = OUTLOOK | DIRECTORY


@dataclass(frozen=True)
class Rule:
    """One fault, where and how often it strikes. `seconds` is a Retry-After, a duration or a clock skew."""

    kind: str
    variant: str = ""
    endpoint: str = "*"
    mailbox: str = "*"
    group: str = "*"
    nth: tuple[int, ...] = ()  # requests of one mailbox (or of the directory) to one endpoint, from 1
    rate: float = 1.0
    count: int = 1 << 30  # at most so often in all
    sticky: bool = False  # once struck, it stays for that mailbox
    seconds: float = 1.5
    rows: int = 3  # F9 duplicates
    row: int = 0  # F16: which row of the listing
    role: str = "Mail.ReadBasic.All"  # F13
    bytes_per_second: float = 1.0  # F6

    def __post_init__(self) -> None:
        if self.kind not in VARIANTS:
            raise ScenarioError(f"faults: unknown kind {self.kind!r}; known: {', '.join(VARIANTS)}")
        if not self.variant:
            object.__setattr__(self, "variant", VARIANTS[self.kind][0])
        if self.variant not in VARIANTS[self.kind]:
            raise ScenarioError(f"faults: {self.kind} has no variant {self.variant!r}; it has {VARIANTS[self.kind]}")

    def concerns(self, endpoint: str, mailbox: str, group: str) -> bool:
        if self.endpoint == "*":
            if endpoint not in _DEFAULT_ENDPOINTS.get(self.kind, _EVERYWHERE):
                return False
        elif self.endpoint != endpoint:
            return False
        return self.mailbox in ("*", mailbox) and self.group in ("*", group)


def rule_from(values: Mapping[str, Any]) -> Rule:
    """A rule from a scenario file or the control plane. Raises ScenarioError that names the wrong key."""
    known = {f.name for f in fields(Rule)}
    for key in values:
        if key not in known:
            raise ScenarioError(f"faults: unknown key {key!r}; known: {', '.join(sorted(known))}")
    if "kind" not in values:
        raise ScenarioError("faults: a rule needs a kind, such as F1")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Rule(**given)


class Faults:
    """The rules in force and what they have done so far."""

    def __init__(self, seed: int, rules: tuple[Mapping[str, Any], ...] = ()) -> None:
        self._seed = seed_of("faults", seed)
        self.rules: list[Rule] = [rule_from(values) for values in rules]
        self.struck: Counter[str] = Counter()  # by kind and variant
        self._used: Counter[int] = Counter()
        self._since: dict[tuple[int, str], float] = {}

    def add(self, rule: Rule) -> None:
        self.rules.append(rule)

    def clear(self) -> None:
        """Take all rules back; what they did stays counted."""
        self.rules.clear()
        self._used.clear()
        self._since.clear()

    def pick(self, endpoint: str, mailbox: str, group: str, ordinal: int, now: float) -> Rule | None:
        """The fault that strikes this request, the first rule first; F17 and F19 are asked for by name instead."""
        for position, rule in enumerate(self.rules):
            if rule.kind in ("F17", "F19") or not rule.concerns(endpoint, mailbox, group):
                continue
            if self._strikes(position, rule, mailbox, ordinal, now):
                self.struck[f"{rule.kind} {rule.variant}"] += 1
                return rule
        return None

    def active(self, kind: str, endpoint: str, mailbox: str) -> Rule | None:
        """A rule of this kind that is in force here, whatever the ordinal."""
        return next((r for r in self.rules if r.kind == kind and r.concerns(endpoint, mailbox, "")), None)

    def _strikes(self, position: int, rule: Rule, mailbox: str, ordinal: int, now: float) -> bool:
        place = (position, mailbox)
        since = self._since.get(place)
        if since is not None and (rule.sticky or (rule.variant == "minutes" and now - since < rule.seconds)):
            return True
        if since is not None and rule.variant == "minutes":
            return False
        if self._used[position] >= rule.count:
            return False
        if rule.nth:
            strikes = ordinal in rule.nth
        else:
            chance = unit(mix(self._seed ^ seed_of(position, mailbox, rule.kind) ^ mix(ordinal)))
            strikes = chance < rule.rate
        if strikes:
            self._used[position] += 1
            self._since.setdefault(place, now)
        return strikes
