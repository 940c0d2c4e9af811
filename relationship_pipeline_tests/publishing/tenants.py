"""Small made-up companies as built insight tables, to publish from: no lake, no mail, every column of the contract."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.months import add_months, month_of
from relationship_pipeline.durable import make_folder, temp_path
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline.layout import EpochLayout, Layout
from relationship_pipeline.publishing.allowed import Allowed
from relationship_pipeline.publishing.publish import publish
from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline.settings import Settings

AS_OF = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Tenant:
    """A data directory with a live consent, and the means to publish in it."""

    layout: Layout
    epoch: EpochLayout
    rows: Rows = field(default_factory=dict)

    @property
    def ledger(self) -> ControlLedger:
        return ControlLedger(self.layout)

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.layout.root, threads=1, memory_limit="512MiB")

    def fence(self) -> AbstractContextManager[object]:
        return self.ledger.commit_fence(self.epoch.epoch, Purpose.DERIVE)

    def write(self, rows: Rows) -> None:
        """Build every insight table; those without rows are empty."""
        self.rows = rows
        write_tables(self.epoch, rows)

    def publish(self, allowed: Allowed | None = None, **options: Any) -> dict[str, dict[str, int]]:
        options.setdefault("settings", self.settings)
        options.setdefault("fence", self.fence)
        return publish(self.layout, self.epoch.epoch, AS_OF, allowed=allowed or everyone(self.rows), **options)


def tenant(folder: Path, rows: Rows | None = None) -> Tenant:
    layout = Layout(folder / "data")
    record, _ = ControlLedger(layout).provide("the administrator", now=AS_OF)
    made = Tenant(layout, layout.epoch(record.epoch))
    made.write(company() if rows is None else rows)
    return made


def everyone(rows: Rows) -> Allowed:
    """All colleagues that occur may introduce, and nobody is hidden."""
    nodes = rows.get("graph_nodes", [])
    ties = [*rows.get("who_knows_whom", []), *rows.get("who_knows_company", [])]
    colleagues = {node["node_id"] for node in nodes if node["kind"] == "colleague"}
    return Allowed(introducers=frozenset(colleagues | {tie["colleague_email"] for tie in ties}))


def write_tables(epoch: EpochLayout, rows: Rows) -> None:
    for name, table in PUBLISHED.items():
        whole = [{column: row.get(column) for column in table.schema.names} for row in rows.get(name, [])]
        for row in whole:
            row["as_of"] = row["as_of"] or AS_OF
        write_table(epoch, name, pa.Table.from_pylist(whole, schema=table.schema))


def write_table(epoch: EpochLayout, name: str, content: pa.Table) -> None:
    """Sorted, as every built table is."""
    folder = make_folder(epoch.insight(name))
    temp = temp_path(folder, ".parquet")
    pq.write_table(content.sort_by([(column, "ascending") for column in PUBLISHED[name].sort_by]), temp)
    part = adopt_part(temp, name, content.num_rows)
    commit_manifest(folder, epoch=epoch.epoch, table=name, month=None, files=[part], fence=nullcontext)


FIRST = ["Ada", "Bo", "Chiara", "Dag", "Élise", "Femi", "Goro", "Hana", "Ivo", "Jun", "Kofi", "Lena", "Mads", "Noor"]
LAST = ["Abel", "Brandt", "Costa", "Dahl", "Endo", "Falk", "Gray", "Holm", "Iyer", "Jensen", "Khan", "Lind", "Meyer"]
COMPANIES = ["Alpine Foods", "Borealis Marine", "Cobalt Optics", "Dune Textiles", "Ember Energy", "Fjord Freight"]
STATES = ["good", "good", "fair", "poor", "not_enough_info"]


def company(seed: int = 1, *, contacts: int = 40, colleagues: int = 12, accounts: int = 6) -> Rows:
    """One year of a company, seeded: tables agree with one another as far as readers can tell."""
    rng = random.Random(seed)
    rows: Rows = defaultdict(list)
    ours = [(f"c{at:05d}@home.example", f"{rng.choice(FIRST)} {rng.choice(LAST)}") for at in range(colleagues)]
    named = [COMPANIES[at % len(COMPANIES)] + ("" if at < len(COMPANIES) else f" {at}") for at in range(accounts)]
    domains = [name.lower().replace(" ", "-") + ".example" for name in named]
    rows["graph_nodes"] += [{"node_id": email, "kind": "colleague", "name": name} for email, name in ours]
    _add_colleague_ties(rng, rows, ours)
    for at in range(contacts):
        email = f"p{at:06d}@{domains[at % accounts]}"
        _add_contact(rng, rows, email, f"{rng.choice(FIRST)} {rng.choice(LAST)}", domains[at % accounts], ours)
    for name, domain in zip(named, domains, strict=True):
        _add_account(rng, rows, name, domain, ours)
    for at in range(contacts // 10):
        rows["lead_kpis"].append({"lead_id": f"l{at}", "lead_name": f"Lead {at}", **_kpis(rng, 1)})
        about = {"opportunity_id": f"o{at}", "opportunity_name": f"Deal {at}", "opportunity_state": "open"}
        rows["opportunity_kpis"].append({**about, "account_id": domains[at % accounts], **_kpis(rng, 1)})
    _add_batches(rng, rows)
    return dict(rows)


def _kpis(rng: random.Random, scale: int) -> dict[str, Any]:
    silent = timedelta(days=rng.choice([0, 1, 3, 9, 30, 120]), hours=rng.randrange(24))
    state = rng.choice(STATES)
    score = {"good": (60, 100), "fair": (40, 59), "poor": (0, 39)}.get(state)
    sent, received = rng.randrange(1, 40 * scale), rng.randrange(0, 40 * scale)
    return {
        "emails_sent": sent,
        "emails_received": received,
        "meetings_sent": rng.randrange(5 * scale),
        "meetings_received": rng.randrange(3 * scale),
        "phone_calls_made": 0,
        "phone_calls_received": 0,
        "team_minutes": 5.0 * sent,
        "customer_minutes": 2.5 * received,
        "response_rate_by_us": rng.random(),
        "sent_received_ratio": sent / received if received else None,
        "first_interaction_at": AS_OF - timedelta(days=300),
        "last_interaction_at": AS_OF - silent,
        "last_interaction_type": "email",
        "last_interaction_direction": rng.choice(["sent", "received"]),
        "days_since_last_interaction": silent.days,
        "next_meeting_at": AS_OF + timedelta(days=4) if rng.random() < 0.2 else None,
        "health_score": rng.randint(*score) if score else None,
        "health_state": state,
        "health_trend": rng.choice(["improving", "steady", "declining"]),
        "health_reasons": "Active within the expected week, and answered quickly.",
        "computation_accuracy": "complete",
        "updated_at": AS_OF,
    }


def _add_record(rng: random.Random, rows: Rows, kind: str, record: str, kpis: dict[str, Any], busy: float) -> None:
    key = {"record_type": kind, "record_id": record}
    for day in range(365):
        weekday = (AS_OF.date() - timedelta(days=day)).weekday() < 5
        if rng.random() < busy * (1 if weekday else 0.1):
            counts = {"emails_sent": rng.randrange(1, 6), "emails_received": rng.randrange(5), "meetings_sent": 0}
            day_of = date.fromordinal(AS_OF.date().toordinal() - day)
            rows["daily_activity"].append({**key, "day": day_of, **counts, "meetings_received": 0})
    if kpis["health_score"] is not None:
        parts = [kpis["health_score"] * share // 100 for share in (30, 30, 20)]
        names = ("activity", "recency", "engagement", "responsiveness")
        for name, points in zip(names, [*parts, kpis["health_score"] - sum(parts)], strict=True):
            rows["health_components"].append({**key, "component": name, "points": points, "detail": "as counted"})
    for back in range(12):
        state = rng.choice(STATES) if back else kpis["health_state"]
        rows["health_history"].append({**key, "month": add_months(month_of(AS_OF), -back), "health_state": state})


def _add_contact(
    rng: random.Random, rows: Rows, email: str, name: str, account: str, ours: list[tuple[str, str]]
) -> None:
    kpis = _kpis(rng, 1)
    rows["contact_kpis"].append({"contact_email": email, "contact_name": name, "account_id": account, **kpis})
    _add_record(rng, rows, "contact", email, kpis, 0.03)
    if kpis["days_since_last_interaction"] >= 30:
        kind = "lapsed" if kpis["days_since_last_interaction"] > 100 else "going_quiet"
        detail = f"Silent for {kpis['days_since_last_interaction']} days; usually every 6 days."
        alert = {"record_type": "contact", "record_id": email, "kind": kind, "detail": detail}
        rows["alerts"].append({**alert, "since": AS_OF - timedelta(days=20)})
    knowing = rng.sample(ours, k=min(len(ours), rng.randrange(1, 6)))
    rows["graph_nodes"].append(
        {"node_id": email, "kind": "contact", "name": name, "account_id": account, "degree": len(knowing)}
    )
    strengths = sorted((rng.randrange(5, 100) for _ in knowing), reverse=True)
    for rank, ((colleague, called), strength) in enumerate(zip(knowing, strengths, strict=True), start=1):
        tie = {"colleague_email": colleague, "colleague_name": called, "rank": rank, **_tie(rng, strength)}
        rows["who_knows_whom"].append({"contact_email": email, **tie})
        pair = {"contact_email": email, "colleague_email": colleague}
        rows["strength_components"] += [
            {**pair, "component": "days_7", "points": strength // 2},
            {**pair, "component": "days_30", "points": strength - strength // 2},
        ]
        rows["graph_edges"].append(_edge(rng, colleague, email, "colleague_contact", strength))


def _add_account(rng: random.Random, rows: Rows, name: str, domain: str, ours: list[tuple[str, str]]) -> None:
    kpis = _kpis(rng, 6)
    members = [row for row in rows["contact_kpis"] if row["account_id"] == domain]
    about = {"account_id": domain, "account_name": name, "domain": domain, "contacts": len(members)}
    rows["account_kpis"].append({**about, **kpis, "health_state": "not_applicable", "health_score": None})
    _add_record(rng, rows, "account", domain, {**kpis, "health_score": None}, rng.choice([0.2, 0.5, 0.8]))
    for rank, (colleague, called) in enumerate(rng.sample(ours, k=min(5, len(ours))), start=1):
        tie = {"colleague_email": colleague, "colleague_name": called, "rank": rank, **_tie(rng, 90 - 9 * rank)}
        rows["who_knows_company"].append({"account_id": domain, **tie})
    for rank, member in enumerate(members[:3], start=1):
        key = {"record_type": "account", "record_id": domain, "side": "them", "rank": rank}
        rows["most_contacted"].append({**key, "person_email": member["contact_email"], "emails": 9 - rank})


def _add_colleague_ties(rng: random.Random, rows: Rows, ours: list[tuple[str, str]]) -> None:
    for at, (email, _) in enumerate(ours):
        for other, _ in ours[at + 1 :]:
            if rng.random() < min(1.0, 20 / len(ours)):
                edge = _edge(rng, email, other, "colleague_colleague", rng.randrange(5, 100))
                rows["graph_edges"].append(edge)


def _tie(rng: random.Random, strength: int) -> dict[str, Any]:
    return {
        "strength": strength,
        "band": "strong" if strength >= 70 else "medium" if strength >= 40 else "weak",
        "emails_sent": rng.randrange(1, 30),
        "emails_received": rng.randrange(30),
        "meetings": rng.randrange(6),
        "last_interaction_at": AS_OF - timedelta(days=rng.randrange(90)),
        "reasons": "Wrote both ways in the last week; 3 meetings this year.",
    }


def _edge(rng: random.Random, source: str, target: str, kind: str, strength: int) -> dict[str, Any]:
    return {
        "source": source,
        "target": target,
        "kind": kind,
        "strength": strength,
        "first_interaction_at": AS_OF - timedelta(days=300),
        "last_interaction_at": AS_OF - timedelta(days=rng.randrange(90)),
        "emails": rng.randrange(1, 60),
        "meetings": rng.randrange(6),
    }


def _add_batches(rng: random.Random, rows: Rows) -> None:
    for back in range(13):
        month = add_months(month_of(AS_OF), -back)
        distinct = rng.randrange(8_000, 12_000) // (3 if back == 0 else 1)
        partial = back == 5
        rows["batches"].append(
            {
                "month": month,
                "copies_read": distinct * 2 + 400,
                "distinct_emails": distinct,
                "duplicates": distinct,
                "dropped": 400,
                "left_out_by_cap": 1200 if partial else 0,
                "mailboxes_expected": 60,
                "mailboxes_read": 58 if partial else 60,
                "status": "partial" if partial else "complete",
                "read_at": AS_OF,
                "left_out_copies": 0,
                "settled_copies": 0,
            }
        )


def fill_large_graph(connection: duckdb.DuckDBPyConnection) -> None:
    """Tables of who knows whom in a database without any: 20,000 colleagues, 400,000 contacts, 3.2 million edges."""
    columns = {name: ", ".join(table.schema.names) for name, table in PUBLISHED.items()}
    connection.execute(
        "create table graph_nodes as select * from (select printf('c%05d@home.example', i) as node_id, 'colleague' as "
        "kind, 'Name' as name, null as account_id, null::bigint as degree, now() as as_of from range(20000) t(i) union "
        "all select printf('p%06d@d%04d.example', i, i % 9000), 'contact', 'Name', printf('d%04d.example', i % 9000), 5, "
        "now() from range(400000) t(i)) order by kind, node_id"
    )
    connection.execute(
        f"create table graph_edges as select {columns['graph_edges']} from (select printf('c%05d@home.example', "
        "hash(i, k) % 20000) as source, printf('p%06d@d%04d.example', i, i % 9000) as target, 'colleague_contact' as "
        "kind, (hash(k, i) % 100)::integer as strength, now() as first_interaction_at, now() as last_interaction_at, "
        "9 as emails, 1 as meetings, now() as as_of from range(400000) t(i), range(6) u(k) union all select "
        "printf('c%05d@home.example', i), printf('c%05d@home.example', (i + k * k * 37 + 1) % 20000), "
        "'colleague_colleague', (hash(k, i, 7) % 100)::integer, now(), now(), 9, 1, now() from range(20000) t(i), "
        "range(40) u(k)) order by target, source"
    )
    connection.execute(
        f"create table who_knows_whom as select {columns['who_knows_whom']} from (select target as contact_email, "
        "row_number() over (partition by target order by strength desc) as rank, source as colleague_email, 'Name' as "
        "colleague_name, strength, 'medium' as band, 3 as emails_sent, 3 as emails_received, 1 as meetings, now() as "
        "last_interaction_at, 'because' as reasons, now() as as_of from graph_edges where kind = 'colleague_contact') "
        "where rank <= 5 order by contact_email, rank"
    )
