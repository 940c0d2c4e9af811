"""Who can introduce me? Look-ups of who knows whom, and two-hop paths, on a role's published database (K1, K4).

All viewers of a role get the same introducers in the same order (V3); every look-up is registered first (V5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.addresses import normalize_address, normalize_domain
from relationship_pipeline.errors import BadInput
from relationship_pipeline.insights.accounts import registrable_domain
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.connection import DEFAULT_LIMITS, current_epoch, open_published
from relationship_pipeline.publishing.query import one_line_errors
from relationship_pipeline.publishing.register import record_look_up
from relationship_pipeline.publishing.roles import DEFAULT_ROLE, require_role
from relationship_pipeline.schemas import KPIS, WHO_KNOWS_WHOM

if TYPE_CHECKING:
    import duckdb

MODELS = "relationship_pipeline.publishing.models"

MOST_PATHS = 5

Row = TypeVar("Row")


@dataclass(frozen=True)
class Introducer:
    """A colleague who knows the contact or company; a row of who_knows_whom or who_knows_company."""

    rank: int
    colleague_email: str
    colleague_name: str | None
    strength: int
    band: str
    emails_sent: int
    emails_received: int
    meetings: int
    last_interaction_at: datetime
    reasons: str


@dataclass(frozen=True)
class WarmPath:
    """me -> colleague -> contact; `strength` is the product of the two legs, 0 to 100."""

    colleague_email: str
    colleague_name: str | None
    first_strength: int
    second_strength: int
    strength: float


@dataclass(frozen=True)
class Answer:
    """What a look-up found: introducers strongest first (none: known, but no tie is shown), and, where asked from a
    colleague, up to five paths through others. `asked` is the address or domain that was asked for, `looked_up` the
    address or account id that it stands for; `kind` is `contact` or `company`; `name` and `from_name` are what the contact
    or account, and the colleague who asks, are called, where known."""

    asked: str
    looked_up: str
    kind: str
    name: str | None
    as_of: datetime | None
    introducers: tuple[Introducer, ...]
    paths: tuple[WarmPath, ...] = ()
    from_colleague: str | None = None
    from_name: str | None = None

    @property
    def about(self) -> str:
        """Whom or what the answer is about, for people."""
        return f"{self.name} ({self.asked})" if self.name and self.name != self.asked else self.asked


def who_knows(
    layout: Layout,
    looked_up: str,
    role: str = DEFAULT_ROLE,
    *,
    from_colleague: str | None = None,
    purpose: str | None = None,
    free_mail: Collection[str] = (),
    now: datetime | None = None,
) -> Answer:
    """The up to five colleagues who know an outside address or a company's domain, with their reasons.

    `from_colleague`, a primary address, adds up to five two-hop paths, the strongest product first. Domains of
    `free_mail` are no company. Raises ConsentRefused, Refused (role, grant, nothing published, register not writable) and
    BadInput where the address, the domain or the colleague is not known; texts name no address.
    """
    ledger = ControlLedger(layout)
    epoch = current_epoch(layout)
    grants = require_role(ledger, role, WHO_KNOWS_WHOM).grants
    kind, wanted = _wanted(looked_up)
    if wanted in free_mail:
        raise BadInput("a free-mail domain is no company; ask for one address there")
    if kind == "company" and registrable_domain(wanted) is None:
        raise BadInput("domains are registered below that one, it is no company; give one such as example.com")
    me = None if from_colleague is None else normalize_address(from_colleague) or from_colleague.strip().lower()
    with open_published(epoch, role) as connection, one_line_errors(connection, DEFAULT_LIMITS.timeout):
        record_look_up(epoch.ledger, wanted, role, purpose, now or datetime.now(UTC), kind)
        key, name = _find(connection, kind, wanted)
        if kind == "company" and KPIS in grants:
            (name,) = _one(connection, "account_name", looked_up=key) or (None,)
        colleague = None if me is None else _one(connection, "find_colleague", colleague=me)
        if me is not None and colleague is None:
            raise BadInput(
                "that colleague is not in the contact graph: not in scope, opted out, or without ties; "
                "--from takes a colleague's primary address"
            )
        introducers = _rows(connection, "introducers", {"looked_up": key}, Introducer)
        paths: tuple[WarmPath, ...] = ()
        if me is not None:
            bounds = {"colleague": me, "looked_up": key, "most": MOST_PATHS}
            paths = _rows(connection, "paths", bounds, WarmPath)
        instant = connection.execute("select max(as_of) as as_of from graph_nodes").fetchone()
    return Answer(
        asked=wanted,
        looked_up=key,
        kind=kind,
        name=name,
        as_of=instant[0] if instant else None,
        introducers=introducers,
        paths=paths,
        from_colleague=me,
        from_name=colleague[1] if colleague else None,
    )


def _wanted(looked_up: str) -> tuple[str, str]:
    """What is asked for, in the form in which it is published: an address (N1) or a domain."""
    text = looked_up.strip()
    if "@" in text:
        address = normalize_address(text)
        if address is None:
            raise BadInput("that is not an e-mail address; give one address or one domain, such as example.com")
        return "contact", address
    domain = normalize_domain(text)
    if domain is None or "." not in domain:
        raise BadInput("that is neither an address nor a domain; give one of them, such as example.com")
    return "company", domain


def _find(connection: duckdb.DuckDBPyConnection, kind: str, wanted: str) -> tuple[str, str | None]:
    """The published key (address or account id) and the contact's name. Raises BadInput for an unknown one."""
    row = _one(connection, "find_contact" if kind == "contact" else "find_account", looked_up=wanted)
    if row is not None:
        return str(row[0]), row[1] if kind == "contact" else None
    if kind == "company":
        raise BadInput(
            "no tie to a company of that domain is shown: nobody who may introduce wrote to it or met it in the 12 months "
            "before the last refresh; check its spelling"
        )
    if _one(connection, "find_colleague", colleague=wanted):
        raise BadInput("that is a colleague; ask for somebody outside, by address, or for a company, by domain")
    raise BadInput(
        "no tie to that address is shown: nobody who may introduce wrote to it or met it in the 12 months before "
        "the last refresh, or the CRM lists another address of theirs first; check its spelling, or ask for its company by "
        "domain"
    )


def _one(connection: duckdb.DuckDBPyConnection, model: str, **parameters: str) -> tuple[Any, ...] | None:
    return connection.execute(sql(MODELS, model), parameters).fetchone()


def _rows(
    connection: duckdb.DuckDBPyConnection, model: str, parameters: dict[str, Any], make: Callable[..., Row]
) -> tuple[Row, ...]:
    cursor = connection.execute(sql(MODELS, model), parameters)
    names = [column[0] for column in cursor.description or []]
    return tuple(make(**dict(zip(names, row, strict=True))) for row in cursor.fetchall())
