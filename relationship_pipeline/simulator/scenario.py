"""What kind of tenant is simulated: its size, its time, and how untidy its data are.

A scenario file is YAML. Every key is a field of `Scenario`; `realism:` holds fields of `Realism`, `faults:` a list of
fault rules (see faults.py). Unknown keys are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.simulator import times


class ScenarioError(ValueError):
    """A scenario that cannot be simulated; the message names the file or key and what to do."""


@dataclass(frozen=True)
class Realism:
    """How often real life happens. Rates are shares between 0 and 1, 0 switches a feature off. graph.md 8.5.

    Rates count per message copy unless the name says otherwise.
    """

    special_users: bool = True  # shared, room, guest, disabled, unlicensed, on-premises
    joiners_and_leavers: float = 0.06  # of members, whose mail starts or ends inside the window
    drafts: float = 0.08  # without from and sender
    meeting_messages: float = 0.10
    distribution_lists: bool = True
    odd_addresses: float = 0.03  # of recipients: upper case, quotes, mailto:, X500, aliases, +tags, spaces, blank
    international_names: float = 0.10  # of people and companies: letters beyond ASCII, internationalised domains
    null_message_ids: float = 0.002
    missing_from: float = 0.0005  # sender only
    delegated: float = 0.02  # from is not sender
    moved: float = 0.05
    deleted: float = 0.01  # gone for good
    in_deleted_items: float = 0.03
    other_folders: float = 0.08  # folders of one's own, archive, clutter
    sync_issues: float = 0.001
    late_arrivals: float = 0.003  # delivered up to six days after receivedDateTime
    imported_mailboxes: float = 0.03  # of mailboxes: a tenth of the mail came by import, long after it was received
    bcc: float = 0.01
    bad_clocks: float = 0.002  # sentDateTime in 1601, 1980, or days ahead
    huge_recipients: tuple[int, ...] = ()  # one message a month to so many people each, e.g. (500, 2000, 10000)
    recurring_meetings: bool = True
    meeting_exceptions: float = 0.06  # of occurrences: moved
    meeting_cancellations: float = 0.04
    all_day_meetings: float = 0.03
    private_meetings: float = 0.04
    declined_answers: float = 0.08
    second_addresses: float = 0.05  # of contacts; of colleagues a quarter of that
    crm_duplicates: float = 0.03
    giant_mailbox: int = 0  # further messages a month for the busiest mailbox, e.g. 1_200_000

    @classmethod
    def tidy(cls) -> Realism:
        """Everything off: plain addresses, one copy a mailbox, no late or strange message."""
        ordinary = cls()
        off: dict[str, Any] = {f.name: type(getattr(ordinary, f.name))() for f in fields(cls)}
        return cls(**off)

    @classmethod
    def everything(cls) -> Realism:
        """Every feature on, at rates that a small tenant shows."""
        return cls(
            joiners_and_leavers=0.15, odd_addresses=0.10, null_message_ids=0.01, missing_from=0.005, delegated=0.05,
            deleted=0.02, sync_issues=0.005, late_arrivals=0.02, imported_mailboxes=0.10, bcc=0.04, bad_clocks=0.01,
            huge_recipients=(500,), meeting_cancellations=0.08, all_day_meetings=0.06, private_meetings=0.08,
            declined_answers=0.15, second_addresses=0.15, crm_duplicates=0.10,
        )  # fmt: skip


@dataclass(frozen=True)
class Latency:
    """Seconds an answer takes: base + per_row x rows, times a log-normal factor. All 0 in unit tests.

    `speed` divides what is really waited: 60 lets an hour of service time pass in a minute.
    """

    base: float = 0.0
    per_row: float = 0.0
    tail: float = 0.0  # sigma of the log-normal factor
    speed: float = 1.0


@dataclass(frozen=True)
class Limits:
    """What the service allows (graph.md 3.1); `retry_after` is what it asks for when there are too many at once."""

    concurrency: int = 4  # per app and mailbox
    requests: int = 10_000  # per app and mailbox in `window` seconds
    window: float = 600.0
    retry_after: float = 1.25
    directory_units: int = 8_000  # per app and tenant in `directory_window` seconds
    directory_window: float = 10.0


@dataclass(frozen=True)
class Scenario:
    """A whole simulated tenant; equal scenarios give equal bytes.

    `users` counts members with a mailbox; special users come on top. `messages_per_month` counts message copies over
    all mailboxes. `months` are the calendar months that hold mail, in order; `now` is where the virtual clock starts
    (default: the end of the last month).
    """

    seed: int = 1
    users: int = 60
    months: tuple[str, ...] = ()
    messages_per_month: int = 4_200
    now: str | None = None
    realism: Realism = field(default_factory=Realism)
    tenant_domain: str = "contoso.com"
    client_id: str = "6731de76-14a6-49ae-97bc-6eba6914391e"
    client_secret: str = "simulated-secret"  # noqa: S105 - opens nothing but the simulator
    client_certificate: str | None = None  # PEM; a signed assertion is then accepted as well
    roles: tuple[str, ...] = (
        "Mail.ReadBasic.All",
        "Calendars.ReadBasic.All",
        "User.Read.All",
        "GroupMember.Read.All",
        "Application.Read.All",
        "RoleManagement.Read.Directory",
        "Organization.Read.All",
        "Domain.Read.All",
    )
    grant_mode: str = "entra"  # or exchange_rbac
    token_seconds: int = 3599
    grants_lag_seconds: int = 0
    expose_body_fields: bool = False  # False: a $select of body fields is refused with 403
    latency: Latency = field(default_factory=Latency)
    limits: Limits = field(default_factory=Limits)
    faults: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.users < 2:
            raise ScenarioError("a tenant needs at least 2 users")
        if self.grant_mode not in ("entra", "exchange_rbac"):
            raise ScenarioError(f"grant_mode is 'entra' or 'exchange_rbac', not {self.grant_mode!r}")
        if not self.months:
            object.__setattr__(self, "months", times.months_ending(_last_whole_month(), 12))
        for month in self.months:
            try:
                times.parse_month(month)
            except ValueError as error:
                raise ScenarioError(f"months: {error}") from None
        if tuple(sorted(set(self.months))) != self.months:
            raise ScenarioError("months must be distinct and in order")

    @property
    def window(self) -> tuple[int, int]:
        """First second with mail and first second after it."""
        return times.month_bounds(self.months[0])[0], times.month_bounds(self.months[-1])[1]

    @property
    def starts_at(self) -> int:
        """Where the virtual clock starts, in seconds since 1970."""
        return times.parse_iso(self.now) if self.now else self.window[1]


def _last_whole_month() -> str:
    now = datetime.now(UTC)
    year, month = (now.year - 1, 12) if now.month == 1 else (now.year, now.month - 1)
    return f"{year:04d}-{month:02d}"


def load_scenario(path: Path, base: Scenario | None = None) -> Scenario:
    """Read a YAML scenario over the defaults in `base`. Raises ScenarioError with one line for any mistake."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ScenarioError(f"{path}{where}: not YAML") from None
    return scenario_from(document, base or Scenario(), str(path))


def scenario_from(document: Any, base: Scenario, where: str) -> Scenario:
    """A scenario from plain data. Raises ScenarioError that names the wrong key."""
    if not isinstance(document, Mapping):
        raise ScenarioError(f"{where}: expected keys and values")
    changes = dict(_known(document, Scenario, where))
    for name, kind in (("realism", Realism), ("latency", Latency), ("limits", Limits)):
        if name in changes:
            values = changes[name]
            if values in ("tidy", "everything") and name == "realism":
                changes[name] = getattr(Realism, values)()
            elif isinstance(values, Mapping):
                changes[name] = replace(getattr(base, name), **_known(values, kind, f"{where}: {name}"))
            else:
                raise ScenarioError(f"{where}: {name} must be keys and values")
    try:
        return replace(base, **changes)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}") from None
    except TypeError:
        raise ScenarioError(f"{where}: a value has the wrong type") from None


def _known(values: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    for key in values:
        if key not in known:
            raise ScenarioError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(known))}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
