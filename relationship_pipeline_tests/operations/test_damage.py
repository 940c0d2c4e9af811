"""Damaged files are refused, named and mended by the documented commands (B8, reliability.md 7 no. 14): what can be made
again is made again, so that no damage is for ever."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from relationship_pipeline import operations
from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.directory import load_directory
from relationship_pipeline.lake.manifest import MANIFEST
from relationship_pipeline.operations import Work
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline_tests import factories
from relationship_pipeline_tests.end_to_end.small_company import COLLEAGUES, MONTHS, write_company
from relationship_pipeline_tests.end_to_end.tables import RUN_TIMES
from relationship_pipeline_tests.operations.company import collect_and_publish, consented, quiet, settings_of

pytestmark = pytest.mark.xdist_group("damage")  # the company is made once


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    write_company(folder)
    collect_and_publish(consented(folder / "export", folder / "data"))
    return folder


@pytest.fixture
def work(company: Path, tmp_path: Path) -> Work:
    shutil.copytree(company / "data", tmp_path / "data", symlinks=True)
    return Work(settings_of(company / "export", tmp_path / "data"), quiet)


def tree_of(work: Work) -> Path:
    return work.settings.layout.epoch(work.ledger.current().epoch).root


def published(work: Work) -> dict[str, list[Any]]:
    """Every published table without the columns that tell when a run happened."""
    tables = {}
    with duckdb.connect(
        str(database_path(work.settings.layout.published, "sales_manager")), read_only=True
    ) as connection:
        for name, table in PUBLISHED.items():
            columns = ", ".join(column for column in table.schema.names if column not in RUN_TIMES)
            tables[name] = connection.execute(f"select {columns} from {name} order by all").fetchall()
    return tables


def damage(folder: Path, what: str) -> None:
    """Cut a folder's largest part, take it away, or spoil its manifest."""
    part = max(folder.glob("part-*"), key=lambda path: path.stat().st_size)
    if what == "cut":
        part.write_bytes(part.read_bytes()[:-200])
    elif what == "missing":
        part.unlink()
    else:
        (folder / MANIFEST).write_bytes(b"{}")


@pytest.mark.parametrize("what", ["cut", "missing", "manifest"])
def test_b8_damaged_derived_tables_are_derived_again(work: Work, what: str) -> None:
    before = published(work)
    for folder in ("lake/interactions/month=2026-03", "insights/contact_kpis", "insights/graph_edges"):
        damage(tree_of(work) / folder, what)
    operations.derive_interactions(work, "2026-03")
    operations.build_everything(work)
    assert published(work) == before


@pytest.mark.parametrize("what", ["cut", "missing", "manifest"])
def test_b8_a_damaged_directory_is_read_anew_and_says_what_that_cost(work: Work, what: str) -> None:
    said: list[str] = []
    before = published(work)
    damage(tree_of(work) / "lake/directory/current", what)
    manifest = operations.read_directory(Work(work.settings, said.append))
    assert any("damaged" in line for line in said)
    assert manifest.quality["notes"] == said[:1]
    operations.build_everything(work)
    assert published(work) == before
    assert "notes" not in operations.read_directory(work).quality


def test_w2_a_backup_can_be_restored_over_a_damaged_directory(work: Work) -> None:
    operations.make_backup(work)
    tree = tree_of(work)
    before = load_directory(work.settings.layout.epoch(tree.name))
    damage(tree / "lake/directory/current", "cut")
    (sealed,) = (work.settings.layout.backups / tree.name).glob("*.sealed")
    operations.restore_backup(work, sealed)
    restored = load_directory(work.settings.layout.epoch(tree.name))
    assert before is not None
    assert restored is not None
    assert restored.users.equals(before.users)


def test_collecting_anew_mends_a_whole_damaged_lake(work: Work) -> None:
    before = published(work)
    for folder in (*tree_of(work).glob("lake/*/month=*"), *tree_of(work).glob("lake/*/current")):
        damage(folder, "cut")
    operations.read_directory(work)
    operations.read_crm(work)
    for month in MONTHS:
        operations.collect_emails(work, month)
        operations.collect_meetings(work, month)
    operations.build_everything(work)
    after = published(work)
    assert {**after, "batches": []} == {**before, "batches": []}


@pytest.mark.parametrize("what", ["cut", "missing", "manifest"])
def test_o2_a_damaged_month_keeps_nobody_from_being_erased_and_can_be_collected_again(work: Work, what: str) -> None:
    tree, ada = tree_of(work), COLLEAGUES[0]
    assert mailbox_of(ada) in set().union(*map(mailboxes, tree.glob("lake/email/month=2026-03/part-*")))
    damage(tree / "lake/email/month=2026-02", what)
    with pytest.raises(BadLake, match="2026-02"):
        operations.erase_person(work, ada, everywhere=False)
    assert not list(tree.glob("lake/email/month=2026-02/part-*")), "nobody knows whether Ada is in there"
    operations.read_directory(work)
    manifest = operations.collect_emails(work, "2026-02")
    assert manifest.quality["status"] == "partial"
    assert operations.erase_person(work, ada, everywhere=False) == "COMPLETED"
    held = [path for path in tree.glob("lake/email/*/part-*") if mailboxes(path) & {mailbox_of(ada)}]
    assert held == []


def mailboxes(part: Path) -> set[str]:
    return set(pq.read_table(part, columns=["mailbox"], partitioning=None)["mailbox"].to_pylist())


def mailbox_of(address: str) -> str:
    return str(factories.user(address)["id"]).lower()
