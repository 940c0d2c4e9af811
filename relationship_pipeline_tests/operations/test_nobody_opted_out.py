"""Nobody opted out appears anywhere (O1-O6, K5): random tenants, random opt-outs, everything that is published."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relationship_pipeline import operations
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentLevel
from relationship_pipeline.domain.optout import Kind, Mode, OptOut, Scope
from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import Layout
from relationship_pipeline.operations import Work
from relationship_pipeline.publishing.export import export_graph, nodes_file
from relationship_pipeline.publishing.introduction import as_text, draft_introduction
from relationship_pipeline.publishing.who_knows import who_knows
from relationship_pipeline.settings import load_settings
from relationship_pipeline_tests import factories
from relationship_pipeline_tests.factories import ALIASES, COLLEAGUES, CONTACTS, Tenant, tenants
from relationship_pipeline_tests.operations.company import quiet

SLOW = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # an example takes seconds: one that fails is shown as it was found
)
GROUP = "0f8fad5b-d9cb-469f-a165-70867728950e"
SCOPES = [
    {Scope.MAILBOX},
    {Scope.INTRODUCER},
    {Scope.MAILBOX, Scope.INTRODUCER},
    {Scope.EVERYWHERE},
    {Scope.EVERYWHERE},
]
SUBJECTS = {
    Kind.USER: [*COLLEAGUES, *(alias for aliases in ALIASES.values() for alias in aliases)],
    Kind.GROUP: [GROUP],
    Kind.DOMAIN: [
        "fabrikam.com",
        "eu.fabrikam.com",
        "gmail.com",
        "github.io",
        "eu.contoso.com",
        "xn--bcher-kva.example",
    ],
    Kind.ADDRESS: [*(name.replace("bücher", "xn--bcher-kva") for name in CONTACTS), *COLLEAGUES[:2]],
}


@st.composite
def opt_outs(draw: st.DrawFn) -> OptOut:
    kind = draw(st.sampled_from(list(Kind)))
    return OptOut(
        kind=kind,
        subject=draw(st.sampled_from(SUBJECTS[kind])),
        scopes=frozenset(draw(st.sampled_from(SCOPES))),
        mode=draw(st.sampled_from(list(Mode))),
        made_at=datetime.now(UTC),
        source="administrator",
    )


@dataclass(frozen=True)
class Barred:
    """By the rules, worked out the slow way. `hidden`: addresses that appear nowhere. `hidden_domains`: nor anything of
    these. `names`: nor what those users, leads and CRM contacts are called. `not_introducers`: all addresses of colleagues
    who may not be shown as one who introduces."""

    hidden: frozenset[str]
    hidden_domains: frozenset[str]
    names: frozenset[str]
    not_introducers: frozenset[str]

    def shown(self, text: str) -> list[str]:
        """What of it stands in a text."""
        text = text.lower()
        found = [one for one in self.hidden if re.search(rf"(?<![\w.%+-]){re.escape(one)}(?![\w-])", text)]
        return found + [one for one in self.hidden_domains if re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text)]


def barred(tenant: Tenant, members: list[str], entries: list[OptOut]) -> Barred:
    hidden, domains, names, silent = set(), set(), set(), set()
    for row in tenant.datasets["User_v1"]:
        if row["userType"] != "Member":
            continue
        primary = row["userPrincipalName"]
        addresses = {primary, *ALIASES.get(primary, ())}
        mine = [entry for entry in entries if concerns(entry, addresses, primary in members)]
        if mine or not row["accountEnabled"]:
            silent |= addresses
        if any(Scope.EVERYWHERE in entry.scopes for entry in mine):
            hidden |= addresses
            names.add(row["displayName"])
    for entry in entries:
        if Scope.EVERYWHERE in entry.scopes and entry.kind is not Kind.GROUP:
            (domains if entry.kind is Kind.DOMAIN else hidden).add(entry.subject)
    for row in (*tenant.crm["contacts"], *tenant.crm["leads"]):
        own = [row[column] for column in ("emailaddress1", "emailaddress2") if row.get(column)]
        own = [address.lower().replace("bücher", "xn--bcher-kva") for address in own]
        if all(address in hidden or any(is_below(address, domain) for domain in domains) for address in own):
            names.add(row["fullname"])
    return Barred(frozenset(hidden), frozenset(domains), frozenset(names), frozenset(silent))


def is_below(address: str, domain: str) -> bool:
    return f".{address.partition('@')[2]}".endswith(f".{domain}")


def concerns(entry: OptOut, addresses: set[str], is_member: bool) -> bool:
    if entry.kind is Kind.GROUP:
        return is_member
    if entry.kind is Kind.DOMAIN:
        return any(is_below(one, entry.subject) for one in addresses)
    return entry.subject in addresses


def published_after(folder: Path, tenant: Tenant, members: list[str], entries: list[OptOut], moment: str) -> Work:
    """A published tenant whose opt-outs were made before it was collected, after it was published, or after its insights
    were built and before they are published."""
    tenant.datasets["GroupMembers_v0"] = [
        {"pObjectId": GROUP, "id": factories.oid(member), "ODataType": "#microsoft.graph.user"} for member in members
    ]
    export, crm = tenant.write(folder)
    work = Work(
        load_settings(
            data_dir=folder / "data",
            source="data_connect",
            data_connect_dir=export,
            crm_dir=crm,
            as_of=tenant.as_of,
            internal_domains=tenant.internal_domains,
            threads=1,
            memory_limit="512MiB",
        ),
        quiet,
    )
    prepare(work.settings)
    operations.provide_consent(work.settings, "admin@contoso.com", ConsentLevel.IDENTIFIABLE, ())
    if moment == "before":
        opt_out(work, entries)
    operations.read_directory(work)
    operations.read_crm(work)
    for month in tenant.months:
        operations.collect_emails(work, month)
        operations.collect_meetings(work, month)
    operations.collect_planned_meetings(work)
    operations.build_everything(work)
    if moment != "before":
        opt_out(work, entries)
        operations.read_directory(work)
    if moment == "after":
        operations.build_everything(work)
    elif moment == "at the gate":
        operations.publish(work)
        operations.build_report(work)
    return work


def opt_out(work: Work, entries: list[OptOut]) -> None:
    for entry in entries:
        OptOuts(work.settings.layout, work.ledger.current().epoch).add(entry)


def found_in(work: Work, wanted: Barred, folder: Path) -> list[str]:
    """Where somebody appears who must not: one line a place."""
    layout = work.settings.layout
    found = []
    for path in sorted(layout.published.glob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
            for table in tables:
                cursor = connection.execute("select t.* from query_table($table) as t", {"table": table})
                names = [column[0] for column in cursor.description]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                found += [f"{path.stem} {line}" for line in in_rows(table, rows, wanted)]
    for path in sorted(layout.published.glob("*.html")):
        found += [f"{path.name}: {one}" for one in wanted.shown(html.unescape(path.read_text()))]
    return [*found, *in_exports(layout, wanted, folder), *in_answers(layout, wanted)]


TORN = {
    "an end of an edge has no node": "select source, target from graph_edges where source not in (select node_id from "
    "graph_nodes) or target not in (select node_id from graph_nodes)",
    "a tie is to nobody": "select contact_email from (from who_knows_whom union all by name from strength_components) "
    "anti join contact_kpis using (contact_email)",
    "a company's tie is to no account": "select account_id from who_knows_company anti join account_kpis using (account_id)",
    "a record is in no table of its type": "select distinct record_type, record_id from (select record_type, record_id from "
    "daily_activity union all select record_type, record_id from most_contacted union all select record_type, record_id "
    "from health_components union all select record_type, record_id from health_history union all select record_type, "
    "record_id from alerts) anti join (select 'contact' as record_type, contact_email as record_id from contact_kpis union "
    "all select 'account', account_id from account_kpis union all select 'opportunity', opportunity_id from "
    "opportunity_kpis union all select 'lead', lead_id from lead_kpis) using (record_type, record_id)",
    "an account that has no row": "select contact_email, account_id from contact_kpis where account_id not in (select "
    "account_id from account_kpis)",
}


def torn(work: Work) -> list[str]:
    """Where published tables do not agree about who there is."""
    path = work.settings.layout.published / "salesperson.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        return [f"{what}: {row}" for what, sql in TORN.items() for row in connection.execute(sql).fetchall()]


INTRODUCERS = {"who_knows_whom", "who_knows_company", "strength_components", "graph_nodes", "graph_edges"}


def in_rows(table: str, rows: list[dict[str, Any]], wanted: Barred) -> Iterator[str]:
    for row in rows:
        for column, value in row.items():
            if isinstance(value, str):
                yield from (f"{table}.{column}: {one}" for one in wanted.shown(value))
                if value in wanted.names:
                    yield f"{table}.{column}: {value}"
                if table in INTRODUCERS and value in wanted.not_introducers:
                    yield f"{table}.{column}: {value} may not introduce"


def in_exports(layout: Layout, wanted: Barred, folder: Path) -> Iterator[str]:
    graphml, parquet = folder / "graph.graphml", folder / "graph.parquet"
    export_graph(layout, graphml)
    export_graph(layout, parquet)
    text = html.unescape(graphml.read_text())
    yield from (f"GraphML: {one}" for one in wanted.shown(text))
    yield from (f"GraphML: {one} may not introduce" for one in wanted.not_introducers if f'"{one}"' in text)
    yield from in_rows("graph_edges", pq.read_table(parquet).to_pylist(), wanted)
    yield from in_rows("graph_nodes", pq.read_table(nodes_file(parquet)).to_pylist(), wanted)


def in_answers(layout: Layout, wanted: Barred) -> Iterator[str]:
    asked = [name.replace("bücher", "xn--bcher-kva") for name in CONTACTS]
    asked += ["fabrikam.com", "shop.github.io", "xn--bcher-kva.example"]
    for at, looked_up in enumerate(asked):
        for me in (COLLEAGUES[at % 6], COLLEAGUES[(at + 3) % 6]):
            try:
                answer = who_knows(layout, looked_up, from_colleague=me)
            except BadInput:
                continue
            if me in wanted.not_introducers:
                yield f"who-knows --from {me}"
            if wanted.shown(looked_up):
                yield f"who-knows {looked_up}"
            named = {one.colleague_email for one in (*answer.introducers, *answer.paths)}
            yield from (f"who-knows: {one}" for one in named & wanted.not_introducers)
            if {one.colleague_email for one in answer.introducers} - {me}:
                yield from (f"draft: {one}" for one in wanted.shown(as_text(draft_introduction(answer))))


def check(tenant: Tenant, members: list[str], entries: list[OptOut], moment: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        work = published_after(folder, tenant, members, entries, moment)
        assert found_in(work, barred(tenant, members, entries), folder) == []
        assert torn(work) == []


cases = {
    "members": st.lists(st.sampled_from(COLLEAGUES[:4]), min_size=1, max_size=2, unique=True),
    "entries": st.lists(opt_outs(), min_size=2, max_size=4),
    "moment": st.sampled_from(["before", "after", "at the gate"]),
}


@settings(SLOW, max_examples=2, derandomize=True)
@given(tenant=tenants(with_crm=True, max_emails=20), **cases)
def test_k5_nobody_opted_out_appears_anywhere(
    tenant: Tenant, members: list[str], entries: list[OptOut], moment: str
) -> None:
    check(tenant, members, entries, moment)


@pytest.mark.soak
@settings(SLOW, max_examples=200)
@given(tenant=tenants(with_crm=True, max_emails=40), **cases)
def test_k5_nobody_opted_out_appears_anywhere_in_many_tenants(
    tenant: Tenant, members: list[str], entries: list[OptOut], moment: str
) -> None:
    check(tenant, members, entries, moment)
