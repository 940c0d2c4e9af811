from __future__ import annotations

from pathlib import Path

import pytest

from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.publishing import roles
from relationship_pipeline.publishing.allowed import (
    ACCOUNT_COLUMNS,
    INTRODUCER_COLUMNS,
    INTRODUCERS_BY_KIND,
    RECORD_COLUMNS,
)
from relationship_pipeline.schemas import KPIS, PUBLISHED, WHO_KNOWS_WHOM
from relationship_pipeline_tests.publishing.tenants import tenant


def test_V1_sales_roles_exist_with_both_grants_and_guest_with_none(tmp_path: Path) -> None:
    found = {role.name: role.grants for role in roles.list_roles(tenant(tmp_path, {}).ledger)}
    assert found == {"guest": (), "sales_manager": (KPIS, WHO_KNOWS_WHOM), "salesperson": (KPIS, WHO_KNOWS_WHOM)}


def test_V1_every_published_table_needs_one_known_grant() -> None:
    assert {table.grant for table in PUBLISHED.values()} == set(roles.GRANTS)
    assert set(roles.Role("x", (WHO_KNOWS_WHOM,)).tables) == {
        "who_knows_whom",
        "who_knows_company",
        "strength_components",
        "graph_nodes",
        "graph_edges",
    }
    assert roles.Role("x", ()).tables == ()


def test_an_administrator_grants_to_a_new_role_and_revokes(tmp_path: Path) -> None:
    ledger = tenant(tmp_path, {}).ledger
    assert roles.grant(ledger, "partner_desk", KPIS).grants == (KPIS,)
    assert roles.grant(ledger, "partner_desk", KPIS).grants == (KPIS,)
    assert roles.revoke(ledger, "partner_desk", KPIS).grants == ()
    assert roles.revoke(ledger, "partner_desk", WHO_KNOWS_WHOM).grants == ()


def test_a_refusal_names_the_role_and_the_administrators_command(tmp_path: Path) -> None:
    ledger = tenant(tmp_path, {}).ledger
    with pytest.raises(Refused, match=r"no role auditor.*`relationship-pipeline role grant auditor who_knows_whom`"):
        roles.require_role(ledger, "auditor", WHO_KNOWS_WHOM)
    with pytest.raises(Refused, match=r"role guest has no grant kpis.*role grant guest kpis"):
        roles.require_any_grant(ledger, "guest")
    with pytest.raises(Refused, match="no role auditor"):
        roles.revoke(ledger, "auditor", KPIS)


@pytest.mark.parametrize("name", ["", "../x", "Sales", "a b", "a\n", "x" * 64, "a.b", "-a", "sales;drop"])
def test_a_role_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="a role's name"):
        roles.grant(tenant(tmp_path, {}).ledger, name, KPIS)


def test_an_unknown_grant_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="kpis, who_knows_whom"):
        roles.grant(tenant(tmp_path, {}).ledger, "salesperson", "everything")


def test_the_last_gate_covers_every_column_that_names_people() -> None:
    """A table or an address column that is added to the contract must be added to the gate (allowed.py)."""
    naming = {
        "contact_email", "person_email", "record_id", "node_id", "source", "target", "colleague_email", "domain",
        "account_id",
    }  # fmt: skip
    for name, table in PUBLISHED.items():
        columns = set(table.schema.names)
        assert columns & naming <= {*RECORD_COLUMNS[name], *ACCOUNT_COLUMNS.get(name, ())}, name
        if "colleague_email" in columns:
            assert "colleague_email" in INTRODUCER_COLUMNS[name]
    for name, (column, _) in INTRODUCERS_BY_KIND.items():
        assert {column, "kind"} <= set(PUBLISHED[name].schema.names)


def test_V2_kpis_are_for_the_sales_roles_and_raw_metadata_for_nobody(tmp_path: Path) -> None:
    tables = {role.name: set(role.tables) for role in roles.list_roles(tenant(tmp_path, {}).ledger)}
    kpis = {name for name, table in PUBLISHED.items() if table.grant == KPIS}
    assert kpis <= tables["salesperson"] & tables["sales_manager"]
    assert tables["guest"] == set()
    raw = {"message_key", "item_key", "mailbox", "conversation_key", "sender_address", "to_addresses", "cc_addresses"}
    assert not any(raw & set(table.schema.names) for table in PUBLISHED.values())
