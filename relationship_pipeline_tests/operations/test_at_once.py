"""Several processes at work in one data directory: nobody's rows are lost, nobody trips over another's files (B5, B8)."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from relationship_pipeline import operations
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.lake.tables import load_tables
from relationship_pipeline.operations import Work
from relationship_pipeline.operations.collection import CRM_TABLE
from relationship_pipeline.settings import Settings
from relationship_pipeline_tests.end_to_end.small_company import write_company
from relationship_pipeline_tests.operations.company import collect_and_publish, consented, quiet, settings_of

CONTACTS_CSV = "contactid,emailaddress1,fullname\nc1,dora@northwind.example,Dora\n"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    write_company(folder)
    work = consented(folder / "export", folder / "data")
    (work.settings.layout.inbox_crm).mkdir()
    (work.settings.layout.inbox_crm / "contacts.csv").write_text(CONTACTS_CSV)
    collect_and_publish(work)
    return folder


@pytest.fixture
def work(company: Path, tmp_path: Path) -> Work:
    shutil.copytree(company / "data", tmp_path / "data", symlinks=True)
    return Work(settings_of(company / "export", tmp_path / "data"), quiet)


def all_at_once(settings: Settings, *what: Callable[[Settings], None]) -> None:
    """Each in a process of its own; fails with the first that fails."""
    with multiprocessing.get_context("spawn").Pool(len(what)) as pool:
        for result in [pool.apply_async(one, (settings,)) for one in what]:
            result.get(timeout=100)


def read_crm_often(settings: Settings) -> None:
    for _ in range(25):
        operations.read_crm(Work(settings, quiet))


def start_commands_often(settings: Settings) -> None:
    for _ in range(200):
        prepare(settings)


def load_crm_often(settings: Settings) -> None:
    for _ in range(200):
        loaded = load_tables(settings.layout.epoch(Work(settings, quiet).ledger.current().epoch), CRM_TABLE)
        assert loaded is not None
        assert loaded[1]["contacts"].num_rows == 1


def test_b8_the_crm_folder_is_read_by_several_runs_at_once(work: Work) -> None:
    all_at_once(work.settings, read_crm_often, read_crm_often, start_commands_often, load_crm_often)
