"""What the CRM says of each record, as tables for the models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.crm_people import CrmPeople, crm_table
from relationship_pipeline.insights.stored import CRM_TABLES
from relationship_pipeline.insights.workbench import Workbench
from relationship_pipeline.schemas import CRM

if TYPE_CHECKING:
    import pyarrow as pa


def crm_digest(crm: Mapping[str, pa.Table]) -> str:
    """Equal for equal CRM rows, whatever their order."""
    whole = hashlib.sha256()
    for kind in sorted(CRM):
        rows = sorted(repr(row) for row in crm_table(crm, kind).to_pylist())
        whole.update("\n".join([kind, *rows]).encode())
    return whole.hexdigest()[:32]


def register_crm(bench: Workbench, context: BuildContext, people: CrmPeople) -> None:
    """Tables `crm_known` (records that have a row without any activity), `crm_names`, `crm_accounts` and
    `crm_opportunity_counts`, and what counts for a record by the CRM alone."""
    import pyarrow as pa

    accounts = crm_table(context.crm, "accounts").to_pylist()
    contacts = sorted(set(people.contacts.values()))
    bench.register(
        "crm_known",
        pa.table(
            {
                "record_type": pa.array(["contact"] * len(contacts) + ["account"] * len(accounts), pa.string()),
                "record_id": pa.array(contacts + [row["account_id"] for row in accounts], pa.string()),
            }
        ),
    )
    bench.register(
        "crm_names",
        pa.table(
            {
                "contact": pa.array(list(people.names), pa.string()),
                "name": pa.array(list(people.names.values()), pa.string()),
            }
        ),
    )
    bench.register(
        "crm_accounts",
        pa.table(
            {
                "account_id": pa.array([row["account_id"] for row in accounts], pa.string()),
                "name": pa.array([row["name"] for row in accounts], pa.string()),
                "domain": pa.array([people.account_domains.get(row["account_id"]) for row in accounts], pa.string()),
            }
        ),
    )
    for name, schema in CRM_TABLES.items():
        bench.register(name, schema.empty_table())
