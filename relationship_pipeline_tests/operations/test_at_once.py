"""Several processes at work in one data directory: nobody's rows are lost, nobody trips over another's files (B5, B8)."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from relationship_pipeline import operations
from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.tie_marks import TieKind, TieMark, TieMarks, TieReason
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.erasure.rewrite import Without, rewrite_in_fresh_process
from relationship_pipeline.errors import TryAgain
from relationship_pipeline.lake.tables import load_tables
from relationship_pipeline.operations import Work
from relationship_pipeline.operations.collection import CRM_TABLE
from relationship_pipeline.operations.insights import INSIGHTS_LOCK
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline.settings import Settings
from relationship_pipeline_tests import factories
from relationship_pipeline_tests.end_to_end.small_company import COLLEAGUES, MONTHS, write_company
from relationship_pipeline_tests.locks import until_it_waits
from relationship_pipeline_tests.operations.company import collect_and_publish, consented, quiet, settings_of

pytestmark = pytest.mark.xdist_group("at once")  # the company is made once

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


def test_b5_a_month_that_lands_between_building_and_publishing_is_published(work: Work) -> None:
    """Without a fixed `as_of` insights are for the instant that the newest export shows."""
    live = Work(work.settings.model_copy(update={"as_of": None}), quiet)
    operations.build_everything(live)
    for path in (work.settings.data_connect_folder / "Message_v1").iterdir():
        path.touch()
    landed = operations.collect_emails(live, MONTHS[-1])
    operations.publish(live)
    assert shown(live, "select distinct as_of from contact_kpis") == [(landed.shows_until,)]
    assert shown(live, "select distinct as_of from graph_edges") == [(landed.shows_until,)]


def test_k7_a_tie_hidden_while_a_build_waits_for_its_turn_stays_hidden(work: Work) -> None:
    layout, ada, dora = work.settings.layout, COLLEAGUES[0], "dora@northwind.example"
    looked_up = f"select * from who_knows_whom where contact_email = '{dora}' and colleague_email = '{ada}'"
    assert shown(work, looked_up)
    with locked(layout.work_lock(INSIGHTS_LOCK)):
        waiting = multiprocessing.get_context("spawn").Process(target=build_and_publish, args=(work.settings,))
        waiting.start()
        until_it_waits(waiting.pid, waiting.is_alive)
        mark = TieMark(
            TieKind.CONTACT, dora, None, mailbox_of(ada), TieReason.HIDDEN, datetime.now(UTC), "administrator"
        )
        TieMarks(layout, work.ledger.current().epoch).add(mark)
    waiting.join(100)
    assert waiting.exitcode == 0
    assert not shown(work, looked_up)


def build_and_publish(settings: Settings) -> None:
    work = Work(settings, quiet)
    operations.build_who_knows_whom(work)
    operations.publish(work)


def mailbox_of(address: str) -> str:
    return str(factories.user(address)["id"]).lower()


def shown(work: Work, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(
        str(database_path(work.settings.layout.published, "sales_manager")), read_only=True
    ) as database:
        database.execute("set TimeZone = 'UTC'")
        return database.execute(sql).fetchall()


def test_w5_erasing_while_months_are_collected_fails_neither(work: Work) -> None:
    all_at_once(work.settings, collect_often, erase_often)


def collect_often(settings: Settings) -> None:
    """As Dagster does it: what says that it may be tried again is tried again."""
    for month in MONTHS * 3:
        for _ in range(50):
            with suppress(TryAgain):
                operations.collect_emails(Work(settings, quiet), month)
                break
        else:
            raise AssertionError(f"{month} was never collected")


def erase_often(settings: Settings) -> None:
    record = Work(settings, quiet).ledger.current()
    assert record is not None
    for number in range(6):
        rewrite_in_fresh_process(
            settings, record.epoch, Without(frozenset(), frozenset({f"p{number}@northwind.example"}))
        )
