"""The report: one self-contained HTML page a role, made from what that role's published database holds and nothing else.

No script, no network (a Content-Security-Policy says so), no ranking of colleagues (V4); names of outsiders are escaped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.durable import put_bytes, temp_path
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.lake.writer import CommitFence
from relationship_pipeline.layout import EpochLayout, Layout
from relationship_pipeline.publishing.access import group_ids
from relationship_pipeline.publishing.connection import open_published, report_path
from relationship_pipeline.publishing.publish import PUBLISH_LOCK, swap_in
from relationship_pipeline.publishing.report.charts import Chart, sparkline, stacked_by_kind, stacked_by_month
from relationship_pipeline.publishing.roles import list_roles
from relationship_pipeline.schemas import KPIS
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb

MODELS = "relationship_pipeline.publishing.report.models"

MOST_QUIET, MOST_SINGLE, MOST_ACCOUNTS, WEEKS, LIVE_DAYS = 15, 8, 12, 52, 30

HALF, FULL = 500, 1060
"""Widths in pixels of the page's places for charts, on a desktop."""

STATES = {
    "good": "Good",
    "fair": "Fair",
    "poor": "Poor",
    "not_enough_info": "Not enough information",
}
"""The states that the charts show, in their order; all others count as the last."""

KINDS = {"contact": "Contacts", "account": "Accounts", "opportunity": "Opportunities", "lead": "Leads"}


@dataclass(frozen=True)
class Report:
    """What the template shows; rows are dictionaries by column of the model they come from."""

    role: str
    as_of: datetime | None
    totals: dict[str, Any]
    portfolio: Chart | None
    history: Chart | None
    portfolio_rows: list[dict[str, Any]]
    quiet: list[dict[str, Any]]
    single: list[dict[str, Any]]
    accounts: list[dict[str, Any]]
    volumes: Chart | None
    batches: list[dict[str, Any]]


def build_reports(
    layout: Layout, epoch: str, settings: Settings, fence: CommitFence, *, only: str | None = None
) -> dict[str, int]:
    """Write the page of every role (or of one) with the grant `kpis` from its published database; bytes by role.

    Raises ConsentRefused (from the fence) and Refused when nothing is published yet.
    """
    tree = layout.epoch(epoch)
    groups = group_ids(settings.publish.group)
    written: dict[str, int] = {}
    with locked(layout.work_lock(PUBLISH_LOCK)):
        for role in list_roles(ControlLedger(layout)):
            if only not in (None, role.name):
                continue
            target = report_path(tree.published, role.name)
            if KPIS not in role.grants:
                target.unlink(missing_ok=True)
                continue
            page = render(read_report(tree, role.name)).encode()
            temp = temp_path(tree.tmp, ".html")
            try:
                put_bytes(temp, page)
                if swap_in(layout, role, temp, target, groups.get(role.name), fence):
                    written[role.name] = len(page)
            finally:
                temp.unlink(missing_ok=True)
    return written


def read_report(tree: EpochLayout, role: str) -> Report:
    """Everything on the role's page, read from its published database."""
    with open_published(tree, role) as connection:
        (totals,) = _rows(connection, "totals", live_days=LIVE_DAYS)
        portfolio = _rows(connection, "portfolio")
        history = _rows(connection, "health_by_month")
        quiet = _rows(connection, "going_quiet", most=MOST_QUIET)
        single = _rows(connection, "single_threaded", most=MOST_SINGLE)
        accounts = _rows(connection, "top_accounts", most=MOST_ACCOUNTS)
        ids = [account["account_id"] for account in accounts]
        weekly = _rows(connection, "weekly_activity", accounts=ids, weeks=WEEKS)
        batches = _rows(connection, "batches")
    _add_sparklines(accounts, weekly)
    return Report(
        role=role,
        as_of=totals["as_of"],
        totals=totals,
        portfolio=_portfolio_chart(portfolio),
        history=_history_chart(history),
        portfolio_rows=_portfolio_rows(portfolio),
        quiet=quiet,
        single=single,
        accounts=accounts,
        volumes=_volumes_chart(batches),
        batches=batches[::-1],
    )


def render(report: Report) -> str:
    """The page as HTML text, everything escaped that was not drawn here."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("relationship_pipeline.publishing.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(day=_day, instant=_instant, count=_count, words=_words)
    return environment.get_template("report.html").render(report=report, states=STATES, live_days=LIVE_DAYS)


def _rows(connection: duckdb.DuckDBPyConnection, model: str, **parameters: Any) -> list[dict[str, Any]]:
    cursor = connection.execute(sql(MODELS, model), parameters)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _shown_state(state: str) -> str:
    return state if state in STATES else "not_enough_info"


def _portfolio_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By kind of record how many stand in each shown state; kinds to which health does not apply are absent."""
    by_kind: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATES, 0))
    for row in rows:
        if row["health_state"] != "not_applicable":
            by_kind[row["record_type"]][_shown_state(row["health_state"])] += row["records"]
    return [{"kind": name, **by_kind[kind]} for kind, name in KINDS.items() if kind in by_kind]


def _portfolio_chart(rows: Sequence[dict[str, Any]]) -> Chart | None:
    kinds = _portfolio_rows(rows)
    if not kinds:
        return None
    series = {name: [kind[state] for kind in kinds] for state, name in STATES.items()}
    return stacked_by_kind(
        [kind["kind"] for kind in kinds], series, "Share of records in each state of health", width=HALF
    )


def _history_chart(rows: Sequence[dict[str, Any]]) -> Chart | None:
    months = sorted({row["month"] for row in rows})
    if not months:
        return None
    series = {name: [0] * len(months) for name in STATES.values()}
    for row in rows:
        series[STATES[_shown_state(row["health_state"])]][months.index(row["month"])] += row["contacts"]
    return stacked_by_month(months, series, "Contacts in each state of health at the end of each month", width=HALF)


def _volumes_chart(batches: Sequence[dict[str, Any]]) -> Chart | None:
    if not batches:
        return None
    series = {
        name: [batch["distinct_emails"] or 0 if (batch["status"] == "complete") is whole else 0 for batch in batches]
        for name, whole in (("Complete months", True), ("Partial months", False))
    }
    return stacked_by_month(
        [batch["month"] for batch in batches], series, "Distinct emails in each monthly batch", width=FULL
    )


def _add_sparklines(accounts: Sequence[dict[str, Any]], weekly: Sequence[dict[str, Any]]) -> None:
    """To each account its emails and meetings by week, oldest first, drawn and as numbers."""
    by_account: dict[str, list[int]] = defaultdict(lambda: [0] * WEEKS)
    for row in weekly:
        by_account[row["account_id"]][WEEKS - 1 - row["week"]] = row["interactions"]
    for account in accounts:
        weeks = by_account[account["account_id"]]
        account["sparkline"] = sparkline(weeks)
        account["busiest_week"] = max(weeks)


def _day(value: datetime | None) -> str:
    return "–" if value is None else value.astimezone(UTC).strftime("%-d %b %Y")


def _instant(value: datetime | None) -> str:
    return "–" if value is None else value.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def _words(name: str) -> str:
    return name.replace("_", " ")
