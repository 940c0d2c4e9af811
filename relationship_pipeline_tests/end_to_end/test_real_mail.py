"""Real mail from consent to published tables, against a recount that shares no code with the package."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from relationship_pipeline.domain.months import month_range
from relationship_pipeline.insights.accounts import packaged_free_mail
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.command import refuse, rows, succeed
from relationship_pipeline_tests.end_to_end.tables import published
from relationship_pipeline_tests.oracle import differences, read_export, recount

pytestmark = pytest.mark.xdist_group("real mail")

MONTHS = month_range("2001-02", "2002-01")
RECOUNTED = ("batches", "contact_kpis", "account_kpis", "most_contacted", "daily_activity")
HEALTH = ("health_components", "health_history", "alerts")
TIES = ("who_knows_whom", "who_knows_company", "strength_components", "graph_nodes", "graph_edges")


@pytest.fixture(scope="module")
def company(enron_export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The issue's own commands, once for this module; the environment to ask with."""
    environment = {
        "RELATIONSHIP_SOURCE": "data_connect",
        "RELATIONSHIP_DATA_CONNECT_DIR": str(enron_export),
        "RELATIONSHIP_INTERNAL_DOMAINS": "enron.com",
        "RELATIONSHIP_AS_OF": "2002-02-01T00:00:00Z",
        "RELATIONSHIP_DATA_DIR": str(tmp_path_factory.mktemp("real") / "data"),
    }
    assert "consent" in refuse("backfill", "--from", "2001-02", "--to", "2002-01", **environment)
    succeed("consent", "provide", "--admin", "someone@enron.com", **environment)
    said = succeed("backfill", "--from", "2001-02", "--to", "2002-01", **environment)
    assert "12 of 12 months landed; insights published" in said
    return environment


@pytest.fixture(scope="module")
def recounted(enron_export: Path) -> dict[str, Any]:
    as_of = datetime(2002, 2, 1, tzinfo=UTC)
    export = read_export(enron_export)
    free_mail = packaged_free_mail()
    return recount(export, internal_domains=["enron.com"], as_of=as_of, months=MONTHS, free_mail_domains=free_mail)


@pytest.fixture(scope="module")
def tables(company: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    path = Layout(Path(company["RELATIONSHIP_DATA_DIR"])).published / "sales_manager.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        names = (*RECOUNTED, *HEALTH, *TIES)
        return {name: connection.sql(f"from {name}").to_arrow_table().to_pylist() for name in names}


@pytest.mark.parametrize("table", [*RECOUNTED, *HEALTH, *TIES])
def test_n1_to_n11_every_column_agrees_with_an_independent_recount(
    table: str, tables: dict[str, list[dict[str, Any]]], recounted: dict[str, Any]
) -> None:
    assert len(tables[table]) > 10
    assert differences(table, recounted[table], tables[table]) == []


def test_points_sum_to_the_score_in_every_row(tables: dict[str, list[dict[str, Any]]]) -> None:
    points: dict[str, int] = {}
    for row in tables["health_components"]:
        points[row["record_id"]] = points.get(row["record_id"], 0) + row["points"]
    scores = {
        row["contact_email"]: row["health_score"] for row in tables["contact_kpis"] if row["health_score"] is not None
    }
    assert points == scores
    assert len(scores) > 100


def test_b9_every_copy_is_accounted_for(company: dict[str, str]) -> None:
    batches = rows("select * from batches", **company)
    assert len(batches) == 12
    for batch in batches:
        parts = ("distinct_emails", "duplicates", "dropped", "left_out_copies", "settled_copies")
        assert batch["copies_read"] == sum(batch[part] for part in parts)
    assert sum(batch["distinct_emails"] for batch in batches) == 13_148


def test_b8_a_second_run_changes_nothing(company: dict[str, str]) -> None:
    data = Path(company["RELATIONSHIP_DATA_DIR"])
    before = published(data)
    succeed("backfill", "--from", "2001-10", "--to", "2001-11", **company)
    assert published(data) == before


def test_b2_the_cap_marks_the_big_months_partial_with_exact_numbers(
    company: dict[str, str], tmp_path: Path, tables: dict[str, list[dict[str, Any]]]
) -> None:
    capped = {**company, "RELATIONSHIP_DATA_DIR": str(tmp_path / "capped"), "RELATIONSHIP_BATCH_CAP": "1000"}
    succeed("consent", "provide", "--admin", "someone@enron.com", **capped)
    succeed("backfill", "--from", "2001-02", "--to", "2002-01", **capped)
    whole = {batch["month"]: batch for batch in tables["batches"]}
    for batch in rows("select * from batches", **capped):
        emails = whole[batch["month"]]["distinct_emails"]
        assert batch["left_out_by_cap"] == max(emails - 1000, 0)
        assert batch["distinct_emails"] == min(emails, 1000)
        assert batch["status"] == ("partial" if emails > 1000 else "complete")
        assert batch["copies_read"] == whole[batch["month"]]["copies_read"]
    assert {row["computation_accuracy"] for row in rows("select computation_accuracy from contact_kpis", **capped)} == {
        "partial"
    }


def test_a_reader_keeps_its_version_while_others_publish(company: dict[str, str]) -> None:
    path = Layout(Path(company["RELATIONSHIP_DATA_DIR"])).published / "salesperson.duckdb"
    with duckdb.connect(str(path.resolve()), read_only=True) as reader:
        counted = reader.execute("select count(*), sum(emails_sent) from contact_kpis").fetchone()
        succeed("backfill", "--from", "2002-01", "--to", "2002-01", **company)
        assert reader.execute("select count(*), sum(emails_sent) from contact_kpis").fetchone() == counted
    assert rows("select count(*) as n from contact_kpis", **company)[0]["n"] == (counted or (0,))[0]


def test_v1_a_role_without_the_grant_gets_one_line_and_no_data(company: dict[str, str]) -> None:
    line = refuse("who-knows", "enron.com", "--role", "guest", **company)
    assert "guest" in line
    assert "role grant" in line
    assert not (Layout(Path(company["RELATIONSHIP_DATA_DIR"])).published / "guest.duckdb").exists()
