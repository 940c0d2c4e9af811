"""Deriving, publishing and measuring under consent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from relationship_pipeline.consent.enforcement import Rules
from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.tie_marks import TieMarks
from relationship_pipeline.domain.consent import ConsentRecord, Purpose
from relationship_pipeline.domain.months import month_of, month_range
from relationship_pipeline.errors import BadInput, BadLake
from relationship_pipeline.lake.manifest import Manifest
from relationship_pipeline.lake.reader import standing_table
from relationship_pipeline.operations.collection import CRM_TABLE, EMAIL, landed_months, rules_now
from relationship_pipeline.operations.work import Work, within_epoch

T = TypeVar("T")

INSIGHTS_LOCK = "insights"
"""Work lock: one build or publication of the 12-month tables at a time; others wait."""

READ_AGAIN = 2
"""How often a build starts over because a month changed under it."""

if TYPE_CHECKING:
    import pyarrow as pa

    from relationship_pipeline.insights.context import BuildContext
    from relationship_pipeline.insights.evaluate import EvaluationResult
    from relationship_pipeline.publishing.allowed import Allowed
    from relationship_pipeline.publishing.roles import Role


@dataclass(frozen=True)
class _Deriving:
    """One piece of deriving under one consent: the rules of the moment and the instant insights are for."""

    record: ConsentRecord
    rules: Rules
    context: BuildContext
    as_of: datetime


def _deriving(work: Work) -> _Deriving:
    from relationship_pipeline.insights.context import BuildContext
    from relationship_pipeline.lake.directory import load_directory
    from relationship_pipeline.lake.tables import load_tables

    settings = work.settings
    record = work.ledger.require(Purpose.DERIVE)
    epoch = settings.layout.epoch(record.epoch)
    directory = load_directory(epoch)
    if directory is None:
        raise BadInput("nothing was collected yet: run `relationship-pipeline backfill`")
    rules = rules_now(settings, record.epoch, directory)
    context = BuildContext(
        layout=epoch,
        settings=settings,
        people=rules.people,
        absences=rules.absences,
        tie_marks=TieMarks(settings.layout, record.epoch).table(),
        internal_domains=rules.internal_domains,
        hidden_addresses=rules.hidden,
        hidden_domains=rules.hidden_domains,
        fence=partial(work.ledger.commit_fence, record.epoch, Purpose.DERIVE),
        crm=crm[1] if (crm := load_tables(epoch, CRM_TABLE)) else {},
        progress=work.report,
        lock=lambda name: locked(settings.layout.work_lock(name)),
    )
    return _Deriving(record, rules, context, insights_as_of(work, record))


def insights_as_of(work: Work, record: ConsentRecord) -> datetime:
    """The instant insights are for: `as_of` where it is set, else when a month was last read (an export: when it was
    written), so that all tables of a build are for one instant and nothing is computed for a time that was not looked
    at."""
    if work.settings.as_of is not None:
        return work.settings.as_of
    epoch = work.settings.layout.epoch(record.epoch)
    months = month_range(record.first_month, month_of(datetime.now(UTC)))
    landed = landed_months(epoch, EMAIL, months)
    if not landed:
        raise BadInput("no month was collected yet: run `relationship-pipeline backfill`")
    return max(landed.values())


@within_epoch
def derive_interactions(work: Work, month: str) -> Manifest:
    """Keep one month's interactions fresh. Raises BadInput where the month was not collected."""
    from relationship_pipeline.insights.build import build_month

    manifest = _read_again(lambda: build_month(_deriving(work).context, month))
    if manifest is None:
        raise BadInput(f"{month} was not collected yet: materialize email_metadata and meeting_metadata for it first")
    return manifest


@within_epoch
def build_kpis(work: Work) -> Mapping[str, int]:
    """KPI tables for contacts, accounts, opportunities and leads; rows by table."""
    from relationship_pipeline.insights import build

    return _rows(work, build.build_kpis)


@within_epoch
def build_health(work: Work) -> Mapping[str, int]:
    """Health components, history and alerts; rows by table."""
    from relationship_pipeline.insights import build

    return _rows(work, build.build_health)


@within_epoch
def build_who_knows_whom(work: Work) -> Mapping[str, int]:
    """Ties of colleagues to contacts and companies; rows by table."""
    from relationship_pipeline.insights import build

    return _rows(work, build.build_who_knows_whom)


@within_epoch
def build_contact_graph(work: Work) -> Mapping[str, int]:
    """Nodes and edges; rows by table."""
    from relationship_pipeline.insights import build

    return _rows(work, build.build_contact_graph)


def _rows(work: Work, build: Callable[[BuildContext, datetime], Mapping[str, Manifest]]) -> Mapping[str, int]:
    def now() -> Mapping[str, Manifest]:
        with _deriving_alone(work) as deriving:
            return build(deriving.context, deriving.as_of)

    return {table: manifest.rows for table, manifest in _read_again(now).items()}


@contextmanager
def _deriving_alone(work: Work) -> Iterator[_Deriving]:
    """While nobody else builds the 12-month tables or publishes them. The rules are read once it is our turn: whoever
    opted out or hid a tie while we waited has built and published without it, and that must not come back."""
    with locked(work.settings.layout.work_lock(INSIGHTS_LOCK)):
        yield _deriving(work)


def _read_again(build: Callable[[], T]) -> T:
    """Another run may replace a month, and sweep its old files, while this one reads them: then read what stands now."""
    import duckdb

    for _ in range(READ_AGAIN):
        try:
            return build()
        except (BadLake, duckdb.IOException):
            continue
    return build()


def build_everything(work: Work) -> None:
    """Derive and publish from what the lake holds, where it holds anything."""
    if not any(work.settings.layout.epoch(work.ledger.require(Purpose.DERIVE).epoch).lake.glob(f"{EMAIL}/month=*")):
        return
    for build in (build_kpis, build_health, build_who_knows_whom, build_contact_graph, publish, build_report):
        build(work)


@within_epoch
def publish(work: Work, only: str | None = None) -> Mapping[str, int]:
    """Build and swap in each role's database, for what was collected; or one role's, for the instant of the others', though
    more was collected since (a backfill may take hours). Rows by role."""
    from relationship_pipeline.insights import build
    from relationship_pipeline.publishing import publish as publishing

    def now() -> Mapping[str, Mapping[str, int]]:
        with _deriving_alone(work) as deriving:
            built = standing_table(deriving.context.layout.insight("batches")) if only else None
            as_of = datetime.fromisoformat(built.inputs["as_of"]) if built else deriving.as_of
            publish_roles = partial(
                publishing.publish,
                work.settings.layout,
                deriving.record.epoch,
                as_of,
                work.settings,
                deriving.context.fence,
                _allowed(deriving.rules, deriving.context.crm),
                only=only,
            )
            try:
                return publish_roles()
            except BadLake:
                # A month landed, or another run built, since these tables were built: the instant moved on.
                for build_again in (build.build_kpis, build.build_who_knows_whom):
                    build_again(deriving.context, as_of)
                return publish_roles()

    return {role: sum(tables.values()) for role, tables in _read_again(now).items()}


def build_report(work: Work, only: str | None = None) -> Mapping[str, int]:
    """One self-contained page a role (or one role's), from its published database; bytes by role."""
    from relationship_pipeline.publishing.report.page import build_reports

    record = work.ledger.require(Purpose.DERIVE)
    fence = partial(work.ledger.commit_fence, record.epoch, Purpose.DERIVE)
    return build_reports(work.settings.layout, record.epoch, work.settings, fence, only=only)


def _allowed(rules: Rules, crm: Mapping[str, pa.Table]) -> Allowed:
    from relationship_pipeline.insights.crm_people import crm_table
    from relationship_pipeline.publishing.allowed import Allowed

    people = rules.people.select(["may_introduce", "primary_address", "address"]).to_pylist()
    return Allowed(
        introducers=frozenset(
            address
            for row in people
            if row["may_introduce"]
            for address in (row["primary_address"], row["address"])
            if address is not None
        ),
        hidden_addresses=frozenset(rules.hidden.column("address").to_pylist()),
        hidden_domains=frozenset(rules.hidden_domains.column("domain").to_pylist()),
        leads={row["lead_id"]: row["addresses"] or () for row in crm_table(crm, "leads").to_pylist()},
    )


def change_role(work: Work, name: str, privilege: str, *, give: bool) -> Role:
    """Grant or revoke, and make or rebuild that role's database and page at once where something is published (V1)."""
    from relationship_pipeline.publishing import roles
    from relationship_pipeline.publishing.publish import unpublish

    if give:
        found = roles.grant(work.ledger, name, privilege)
    else:
        found = roles.revoke(work.ledger, name, privilege)
        record = work.ledger.current()
        if record is not None:
            unpublish(work.settings.layout, name, record.epoch)
    if found.grants and work.settings.layout.published.exists():
        publish(work, only=name)
        build_report(work, only=name)
    return found


@within_epoch
def evaluate_lake(
    work: Work,
    domains: Sequence[str],
    cuts: Sequence[datetime] | None,
    pairs_path: Path | None,
    progress: Callable[[int, int], None],
) -> EvaluationResult:
    """Measure strength and health on what was collected (K8). Inside are, where no domain is named, the people in scope
    and the internal domains (N2)."""
    from relationship_pipeline.insights.evaluate import evaluate_messages
    from relationship_pipeline.insights.lake_history import lake_history

    deriving = _deriving(work)
    rules = deriving.rules
    in_scope = [] if domains else [row["address"] for row in rules.people.to_pylist() if row["in_scope"]]

    def measure() -> EvaluationResult:
        with lake_history(deriving.context) as history:
            return evaluate_messages(
                history.messages,
                internal_domains=list(domains) or rules.internal_domains.column("domain").to_pylist(),
                internal_addresses=in_scope,
                cuts=cuts,
                meetings=history.meetings,
                health=work.settings.health,
                pairs_path=pairs_path,
                connection=history.connection,
                progress=progress,
            )

    return _read_again(measure)
