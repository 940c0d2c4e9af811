"""What the CRM says of each record, as tables for the models: who counts for it on both sides, and what it is called.

The linking rules are those at the head of product.md 6; what counts is decided in models/year/crm_links.sql.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.crm_people import CrmPeople, crm_table, person_of
from relationship_pipeline.insights.workbench import Workbench
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.schemas import CRM, INSTANT

if TYPE_CHECKING:
    import pyarrow as pa

OPPORTUNITY_STATES = {0: "open", 1: "won", 2: "lost"}
LEAD_STATES = {0: "open", 1: "qualified", 2: "disqualified"}
"""Dataverse's statecode."""


def crm_digest(crm: Mapping[str, pa.Table]) -> str:
    """Equal for equal CRM rows, whatever their order."""
    whole = hashlib.sha256()
    for kind in sorted(CRM):
        rows = sorted(repr(row) for row in crm_table(crm, kind).to_pylist())
        whole.update("\n".join([kind, *rows]).encode())
    return whole.hexdigest()[:32]


def register_crm(
    bench: Workbench, context: BuildContext, people: CrmPeople, outside: frozenset[str], hidden: frozenset[str]
) -> None:
    """Register what the models read as `crm_…`: records that have a row without any activity (`crm_known`), names and
    descriptions, who counts on both sides (`crm_sides`, `crm_teams`), and the listed calls, emails and appointments.
    `outside`: addresses of the CRM that stand outside (N2). `hidden`: those of people who appear nowhere (O4, O6); a lead
    of theirs keeps its id and state, which are the company's, and loses its name."""
    crm = context.crm
    accounts = crm_table(crm, "accounts").to_pylist()
    opportunities = crm_table(crm, "opportunities").to_pylist()
    leads = crm_table(crm, "leads").to_pylist()
    account_of = {row["opportunity_id"]: _account_of(row, accounts) for row in opportunities}
    sides = [*_opportunity_sides(crm, people, accounts, account_of), *_lead_sides(crm, people, outside)]
    _register(
        bench,
        "crm_sides",
        {"record_type": "text", "record_id": "text", "contact": "text", "only_if_regarding": "bool"},
        sides,
    )
    _register(
        bench,
        "crm_teams",
        {"record_type": "text", "record_id": "text", "team": "texts"},
        _teams(context, opportunities, leads),
    )
    ids = [
        *(("account", row["account_id"]) for row in accounts),
        *(("opportunity", row["opportunity_id"]) for row in opportunities),
        *(("lead", row["lead_id"]) for row in leads),
    ]
    _register(bench, "crm_ids", {"record_type": "text", "record_id": "text"}, ids)
    contacts = [("contact", person) for person in sorted(set(people.contacts.values()))]
    _register(bench, "crm_known", {"record_type": "text", "record_id": "text"}, [*ids, *contacts])
    _register(bench, "crm_contact_ids", {"contact_id": "text", "contact": "text"}, people.contacts.items())
    _register(bench, "crm_names", {"contact": "text", "name": "text"}, people.names.items())
    _register(
        bench,
        "crm_accounts",
        {"account_id": "text", "name": "text", "domain": "text"},
        [(row["account_id"], row["name"], people.account_domains.get(row["account_id"])) for row in accounts],
    )
    _register(
        bench,
        "crm_opportunities",
        {"opportunity_id": "text", "name": "text", "account_id": "text", "state": "text", "estimated_value": "number"},
        [
            (
                row["opportunity_id"],
                row["name"],
                account_of[row["opportunity_id"]],
                OPPORTUNITY_STATES.get(row["state"]),
                row["estimated_value"],
            )
            for row in opportunities
        ],
    )
    _register(
        bench,
        "crm_leads",
        {"lead_id": "text", "name": "text", "company_name": "text", "state": "text"},
        [
            (
                row["lead_id"],
                None if hidden.intersection(row["addresses"] or ()) else row["name"],
                row["company_name"],
                LEAD_STATES.get(row["state"]),
            )
            for row in leads
        ],
    )
    _register(
        bench,
        "crm_states",
        {"record_type": "text", "record_id": "text", "is_open": "bool", "closed_at": "instant"},
        [
            *(
                ("opportunity", row["opportunity_id"], row["state"] in (0, None), row["closed_at"])
                for row in opportunities
            ),
            *(("lead", row["lead_id"], row["state"] in (0, None), None) for row in leads),
        ],
    )
    counts = Counter(("account", account) for account in account_of.values() if account)
    counts.update(("contact", contact) for kind, _, contact, only in sides if kind == "opportunity" and not only)
    _register(
        bench,
        "crm_opportunity_counts",
        {"record_type": "text", "record_id": "text", "opportunities": "count"},
        [(*record, number) for record, number in counts.items()],
    )
    bench.register("crm_phonecalls", crm_table(crm, "phonecalls"))
    bench.register("crm_listed_emails", crm_table(crm, "emails"))
    bench.register("crm_listed_appointments", crm_table(crm, "appointments"))
    bench.engine.execute(sql("relationship_pipeline.lake.models", "functions")).fetchall()


def _register(bench: Workbench, name: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "bool": pa.bool_(),
        "number": pa.float64(),
        "count": pa.int64(),
        "instant": INSTANT,
    }
    listed = sorted(rows, key=repr)
    arrays = {
        column: pa.array([row[position] for row in listed], types[kind])
        for position, (column, kind) in enumerate(columns.items())
    }
    bench.register(name, pa.table(arrays))


def _account_of(opportunity: Mapping[str, Any], accounts: list[dict[str, Any]]) -> str | None:
    known = {row["account_id"] for row in accounts}
    return next((value for value in (opportunity["account_id"], opportunity["customer_id"]) if value in known), None)


def _stakeholders(crm: Mapping[str, pa.Table], people: CrmPeople, record_type: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in crm_table(crm, "stakeholders").to_pylist():
        if row["record_type"] == record_type and row["contact_id"] in people.contacts:
            found.setdefault(row["record_id"], set()).add(people.contacts[row["contact_id"]])
    return found


def _opportunity_sides(
    crm: Mapping[str, pa.Table],
    people: CrmPeople,
    accounts: list[dict[str, Any]],
    account_of: Mapping[str, str | None],
) -> list[tuple[str, str, str, bool]]:
    """Customer contact and stakeholders; the account's primary contact only in what is regarding the opportunity."""
    stakeholders = _stakeholders(crm, people, "opportunity")
    primary_of = {row["account_id"]: people.contacts.get(row["primary_contact_id"]) for row in accounts}
    rows = []
    for row in crm_table(crm, "opportunities").to_pylist():
        opportunity = row["opportunity_id"]
        customers = {people.contacts.get(row["contact_id"]), people.contacts.get(row["customer_id"])} - {None}
        own = {str(person) for person in customers} | stakeholders.get(opportunity, set())
        rows += [("opportunity", opportunity, person, False) for person in own]
        account = account_of[opportunity]
        primary = primary_of.get(account) if account else None
        if primary and primary not in own:
            rows.append(("opportunity", opportunity, primary, True))
    return rows


def _lead_sides(
    crm: Mapping[str, pa.Table], people: CrmPeople, outside: frozenset[str]
) -> list[tuple[str, str, str, bool]]:
    """The lead's own addresses and stakeholders."""
    stakeholders = _stakeholders(crm, people, "lead")
    rows = []
    for row in crm_table(crm, "leads").to_pylist():
        own = {person_of(people, address) for address in row["addresses"] or () if address in outside}
        rows += [("lead", row["lead_id"], person, False) for person in own | stakeholders.get(row["lead_id"], set())]
    return rows


def _teams(
    context: BuildContext, opportunities: list[dict[str, Any]], leads: list[dict[str, Any]]
) -> list[tuple[str, str, list[str]]]:
    """Owner and sales team of each opportunity, owner of each lead, as directory ids of users in scope. The CRM names a
    user by directory object id or by an address."""
    users: dict[str, str] = {}
    for row in context.people.to_pylist():
        if row["in_scope"] and not row["hidden"]:
            users[row["address"]] = row["user_id"]
            users[row["user_id"].lower()] = row["user_id"]
    members: dict[str, set[str]] = {}
    for row in crm_table(context.crm, "opportunity_team").to_pylist():
        members.setdefault(row["opportunity_id"], set()).add(row["user_id"])

    def known(names: Iterable[str | None]) -> list[str]:
        return sorted({users[name.lower()] for name in names if name and name.lower() in users})

    return [
        *(
            ("opportunity", row["opportunity_id"], known({row["owner_id"], *members.get(row["opportunity_id"], ())}))
            for row in opportunities
        ),
        *(("lead", row["lead_id"], known({row["owner_id"]})) for row in leads),
    ]
