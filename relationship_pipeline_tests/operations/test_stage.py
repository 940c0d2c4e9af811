"""What lies staged of an export under a live consent: rows of mailboxes that may be read, in months still to be read."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from relationship_pipeline import operations
from relationship_pipeline.domain.months import add_months, month_of, month_start
from relationship_pipeline.operations import Work
from relationship_pipeline.settings import Settings, load_settings
from relationship_pipeline_tests import factories as make
from relationship_pipeline_tests.collecting import balances
from relationship_pipeline_tests.command import succeed
from relationship_pipeline_tests.operations.company import consented, quiet

ADA, BEN, OUT = "ada@contoso.com", "ben@contoso.com", "zoe@fabrikam.com"
RUNNING = month_of(datetime.now(UTC))
"""The lake notes by the clock when a month landed: these tests live today."""
CLOSED, OLDER = add_months(RUNNING, -2), add_months(RUNNING, -3)
GROUP = "5f1b1d5e-0000-4000-8000-000000000001"


def mail(mailbox: str, month: str, number: int = 0) -> dict[str, Any]:
    at = month_start(month) + timedelta(minutes=number)
    return make.message(mailbox, sender=OUT, to=[mailbox], at=at, message_id=f"<{mailbox}{month}{number}@x>")


def write(folder: Path, *messages: dict[str, Any], members: tuple[str, ...] = (), users: tuple[str, ...] = (ADA, BEN)):
    groups = [
        {"id": make.oid(member), "ODataType": "#microsoft.graph.user", "pObjectId": GROUP, "ptenant": make.TENANT}
        for member in (*members, "nobody@contoso.com")
    ]
    directory = {"User_v1": [make.user(user) for user in users], "GroupMembers_v0": groups}
    make.write_export(folder / "export", **directory, **({"Message_v1": list(messages)} if messages else {}))


class Company:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write(folder, *(mail(box, month) for box in (ADA, BEN) for month in ("2019-05", OLDER, CLOSED, RUNNING)))
        consented(folder / "export", folder / "data")
        self.said: list[str] = []

    @property
    def settings(self) -> Settings:
        return load_settings(
            data_dir=self.folder / "data", source="data_connect", data_connect_dir=self.folder / "export", threads=1
        )

    @property
    def environment(self) -> dict[str, str]:
        names = {"DATA_DIR": "data", "DATA_CONNECT_DIR": "export"}
        paths = {f"RELATIONSHIP_{name}": str(self.folder / below) for name, below in names.items()}
        return {**paths, "RELATIONSHIP_SOURCE": "data_connect", "RELATIONSHIP_THREADS": "1"}

    def collect(self, month: str) -> Any:
        return operations.collect_emails(Work(self.settings, self.said.append), month)

    @property
    def stage(self) -> Path:
        (epoch,) = (path for path in (self.folder / "data" / "epochs").iterdir() if not path.name.startswith("."))
        return epoch / "stage"

    def staged(self) -> Counter[tuple[str, str]]:
        """How many rows lie there, by mailbox and month."""
        names = {make.oid(box): box for box in (ADA, BEN)}
        rows = [row for path in self.stage.rglob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
        return Counter((names[row["mailbox"]], month_of(row["received_at"])) for row in rows)

    def files_read(self) -> int:
        count = sum("reading export file" in line for line in self.said)
        self.said.clear()
        return count


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def test_b1_only_months_of_the_collection_window_are_staged(company):
    company.collect(RUNNING)
    assert company.staged().keys() == {(box, month) for box in (ADA, BEN) for month in (OLDER, CLOSED, RUNNING)}


def test_b3_a_month_goes_from_the_stage_once_it_is_settled_and_the_running_one_stays(company):
    for month in (OLDER, CLOSED, RUNNING):
        company.collect(month)
    assert company.staged().keys() == {(ADA, RUNNING), (BEN, RUNNING)}
    assert company.files_read() == 1, "an export file is read once for all months"
    make.write_export(company.folder / "export", Message_v1=[mail(ADA, CLOSED, 7), mail(ADA, RUNNING, 7)])
    company.collect(RUNNING)
    assert company.staged() == {(ADA, RUNNING): 1}, "a new file's rows of a settled month are not staged"


def test_b3_a_refresh_reads_only_new_files(company):
    for month in (OLDER, CLOSED, RUNNING):
        company.collect(month)
    path = next((company.folder / "export" / "Message_v1").iterdir())
    path.with_name("more.json").write_text(json.dumps(mail(ADA, RUNNING, 9)) + "\n")
    company.files_read()
    assert company.collect(RUNNING).rows == 3
    assert company.files_read() == 1


def test_b8_settled_months_collected_again_give_the_same_rows_are_read_once_and_go_a_day_later(company):
    before = [company.collect(month).content_id for month in (OLDER, CLOSED, RUNNING)]
    company.files_read()
    assert [company.collect(month).content_id for month in (OLDER, CLOSED, RUNNING)] == before
    assert company.files_read() == 1
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).timestamp()
    for path in company.stage.rglob("*.parquet"):
        os.utime(path, (yesterday, yesterday))
    company.collect(RUNNING)
    assert company.staged().keys() == {(ADA, RUNNING), (BEN, RUNNING)}


def test_b8_what_a_killed_run_left_of_a_settled_month_goes_a_day_later(company):
    company.collect(CLOSED)
    kept = next(company.stage.rglob(f"{RUNNING}.parquet"))
    left = kept.with_name(f"{CLOSED}.parquet")
    left.write_bytes(kept.read_bytes())
    company.collect(RUNNING)
    assert left.exists(), "another run may be about to read it"
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).timestamp()
    os.utime(left, (yesterday, yesterday))
    company.collect(RUNNING)
    assert not left.exists() and kept.exists()


def test_o2_nothing_is_staged_of_a_mailbox_that_opted_out_and_its_copies_are_counted_as_before(company):
    succeed("opt-out", "user", BEN, **company.environment)
    quality = company.collect(RUNNING).quality
    assert company.staged().keys() == {(ADA, month) for month in (OLDER, CLOSED, RUNNING)}
    assert quality["dropped"] == {"not_in_scope": 1}
    assert balances(quality)
    succeed("opt-in", "user", BEN, **company.environment)
    quality = company.collect(RUNNING).quality
    assert (quality["distinct_emails"], quality["dropped"]) == (2, {})
    assert (BEN, RUNNING) in company.staged()


def test_o1_what_is_staged_of_a_mailbox_goes_when_its_owner_joins_an_opt_out_group(company):
    succeed("opt-out", "group", GROUP, **company.environment)
    assert company.collect(RUNNING).rows == 2
    assert (BEN, RUNNING) in company.staged()
    write(company.folder, members=(BEN,))
    manifest = company.collect(RUNNING)
    assert {box for box, _ in company.staged()} == {ADA}
    assert manifest.rows == 2, "what was collected before stays"
    write(company.folder)
    company.collect(RUNNING)
    assert (BEN, RUNNING) in company.staged()


def test_o1_a_new_colleague_has_no_old_file_split_again(company):
    company.collect(RUNNING)
    company.files_read()
    write(company.folder, users=(ADA, BEN, "cleo@contoso.com"))
    company.collect(RUNNING)
    assert company.files_read() == 0


def test_w5_nothing_is_staged_again_of_a_person_who_was_erased(company):
    company.collect(RUNNING)
    succeed("erase", "person", BEN, **company.environment)
    assert not company.staged()
    company.collect(RUNNING)
    assert {box for box, _ in company.staged()} == {ADA}


def test_w5_a_split_whose_rows_nobody_asks_for_loses_those_of_an_opted_out_mailbox_too(company):
    """A file of last month's is not read by a refresh, but may hold rows of months that never landed."""
    write(company.folder, *(mail(box, OLDER) for box in (ADA, BEN)), members=())
    succeed("opt-out", "group", GROUP, **company.environment)
    company.collect(RUNNING)
    assert (BEN, OLDER) in company.staged()
    write(company.folder, members=(BEN,))
    company.files_read()
    company.collect(RUNNING)
    assert company.files_read() == 0
    assert not any(box == BEN for box, _ in company.staged())
    assert company.collect(OLDER).quality["dropped"] == {"not_in_scope": 1}


def test_w7_an_export_says_that_what_is_staged_was_not_searched(company):
    def not_searched() -> list[str]:
        return json.loads(succeed("export", "person", OUT, **company.environment))["not_searched"]

    assert "stage" not in not_searched()
    operations.read_directory(Work(company.settings, quiet))
    company.collect(RUNNING)
    assert "stage" in not_searched()
