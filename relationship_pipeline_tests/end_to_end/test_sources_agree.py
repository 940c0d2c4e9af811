"""The two sources tell the same story: one tenant, read from Microsoft Graph over HTTPS and from its Data Connect export, has
the same published tables (B5-B8, N1-N11). The recount (insights/test_against_recount.py) holds the export's to the rules."""

from __future__ import annotations

from typing import Any

import pytest

from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline.simulator.export import write_export
from relationship_pipeline.simulator.scenario import Realism, Scenario
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline_tests.command import succeed
from relationship_pipeline_tests.end_to_end.tables import published

pytestmark = pytest.mark.xdist_group("sources agree")  # the tables are made once

MONTHS = ("2026-01", "2026-02")
AS_OF = "2026-03-01T00:00:00Z"
AS_EXPORTED = Realism(special_users=False, joiners_and_leavers=0, deleted=0, late_arrivals=0, imported_mailboxes=0)
"""What an export of the same day shows as Graph does: it leaves out special users, and knows no later change."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Published tables by source."""
    folder = tmp_path_factory.mktemp("sources")
    scenario = Scenario(seed=5, users=12, months=MONTHS, messages_per_month=900, now=AS_OF, realism=AS_EXPORTED)
    common = {"RELATIONSHIP_AS_OF": AS_OF, "RELATIONSHIP_THREADS": "1", "RELATIONSHIP_MEMORY_LIMIT": "512MiB"}
    write_export(Tenant(scenario), folder / "export")
    tables = {}
    with SimulatorServer(scenario) as tenant:
        for name, source in {
            "graph": tenant.address.settings(),
            "data_connect": {
                "RELATIONSHIP_SOURCE": "data_connect",
                "RELATIONSHIP_DATA_CONNECT_DIR": str(folder / "export"),
            },
        }.items():
            environment = {**common, **source, "RELATIONSHIP_DATA_DIR": str(folder / name)}
            succeed("consent", "provide", "--admin", tenant.address.administrator, **environment)
            succeed("backfill", "--from", MONTHS[0], "--to", MONTHS[-1], **environment)
            tables[name] = published(folder / name)
    return tables


@pytest.mark.parametrize("table", sorted(PUBLISHED.keys() - {"batches", "planned_meetings"}))
def test_graph_and_its_export_publish_the_same(told: dict[str, dict[str, list[dict[str, Any]]]], table: str) -> None:
    assert told["graph"][table] == told["data_connect"][table]


def test_planned_meetings_are_the_same_as_far_as_the_export_goes(
    told: dict[str, dict[str, list[dict[str, Any]]]],
) -> None:
    """B4: Graph is asked for the 92 days after the running month; an export ends where it was told to."""
    ends = max(row["start_at"] for row in told["data_connect"]["planned_meetings"])
    from_graph = [row for row in told["graph"]["planned_meetings"] if row["start_at"] <= ends]
    assert from_graph == told["data_connect"]["planned_meetings"]


def test_what_was_answered_is_counted_from_either(told: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """N8. Graph delivers no headers: where nothing tells that an email is bulk mail it is not."""
    for tables in told.values():
        contacts = tables["contact_kpis"]
        assert sum(row["replies_by_us"] for row in contacts) > 10
        assert sum(row["conversations_started_by_them"] for row in contacts) > 10
