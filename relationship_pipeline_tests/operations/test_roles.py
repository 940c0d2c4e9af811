"""Granting and revoking as an administrator does it: database and page of the role follow at once (V1)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from relationship_pipeline import operations
from relationship_pipeline.operations import Work
from relationship_pipeline_tests.end_to_end.small_company import write_company
from relationship_pipeline_tests.operations.company import collect_and_publish, consented


@pytest.fixture
def work(tmp_path: Path) -> Work:
    write_company(tmp_path)
    made = consented(tmp_path / "export", tmp_path / "data")
    collect_and_publish(made, ["2026-04"])
    return made


def published(work: Work) -> set[str]:
    return {path.name for path in work.settings.layout.published.iterdir()}


SALES = {"salesperson.duckdb", "salesperson.html", "sales_manager.duckdb", "sales_manager.html"}


def test_v1_a_grant_makes_database_and_page_at_once_and_a_revoke_removes_them(work: Work) -> None:
    assert published(work) == SALES
    operations.change_role(work, "partner_desk", "who_knows_whom", give=True)
    assert published(work) == SALES | {"partner_desk.duckdb"}, "the page shows KPIs, which this role may not see"
    operations.change_role(work, "partner_desk", "kpis", give=True)
    assert published(work) == SALES | {"partner_desk.duckdb", "partner_desk.html"}
    operations.change_role(work, "partner_desk", "kpis", give=False)
    assert published(work) == SALES | {"partner_desk.duckdb"}
    operations.change_role(work, "partner_desk", "who_knows_whom", give=False)
    assert published(work) == SALES


def test_v1_a_role_is_changed_while_months_are_collected_for_the_instant_of_the_other_roles(work: Work) -> None:
    """In production `as_of` is when a month was last read, and a backfill reads for hours."""
    by_the_clock = Work(work.settings.model_copy(update={"as_of": None}), work.log)
    operations.build_everything(by_the_clock)
    operations.collect_emails(work, "2026-04")
    operations.change_role(by_the_clock, "guest", "kpis", give=True)
    operations.change_role(by_the_clock, "sales_manager", "who_knows_whom", give=False)
    assert published(work) == SALES | {"guest.duckdb", "guest.html"}
    instants = set()
    for role in ("guest", "sales_manager", "salesperson"):
        path = str(work.settings.layout.published / f"{role}.duckdb")
        with duckdb.connect(path, read_only=True) as connection:
            instants |= set(connection.execute("select distinct as_of from contact_kpis").fetchall())
    assert len(instants) == 1
