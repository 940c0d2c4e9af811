"""Preflight of an export folder (C7): the doctor and a collection say the same of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from relationship_pipeline.errors import BadInput
from relationship_pipeline.operations.doctor import Finding, Verdict, examine
from relationship_pipeline.settings import load_settings
from relationship_pipeline.sources.data_connect.files import find_datasets, mail_files
from relationship_pipeline_tests.factories import write_export

USERS = {"User_v1": [{"id": "1"}]}
MAIL = {"Message_v1": [{"id": "2"}]}
OPTIONAL = {"CalendarView_v0 or Event_v1", "GroupMembers_v0", "MailFolder_v0"}


def examined(folder: Path, tmp_path: Path) -> dict[str, Finding]:
    settings = load_settings(source="data_connect", data_connect_dir=folder, data_dir=tmp_path / "data")
    return {finding.check: finding for finding in examine(settings)}


@pytest.mark.parametrize(
    "datasets",
    [
        MAIL,
        USERS,
        USERS | {"Inbox_v1": MAIL["Message_v1"]},
        {"User_v1": [], "Message_v1": []},
        USERS | MAIL,
        USERS | {"Inbox_v1": MAIL["Message_v1"], "SentItem_v1": MAIL["Message_v1"]},
        {"BasicDataSet_v0.User_v1": USERS["User_v1"], "BasicDataSet_v0.Message_v1": MAIL["Message_v1"]},
    ],
    ids=lambda datasets: "+".join(datasets),
)
def test_c7_doctor_passes_exactly_the_exports_that_can_be_collected(
    tmp_path: Path, datasets: dict[str, list[dict[str, str]]]
) -> None:
    folder = write_export(tmp_path / "export", **datasets)
    if not any(datasets.values()):
        for file in folder.glob("*_v1/*"):
            file.unlink()
    try:
        written = max(file.written_at for file in mail_files(find_datasets(folder)))
        expected = (Verdict.PASS, f"holds the users and mail up to {written:%Y-%m-%d %H:%M} UTC")
    except BadInput as error:
        expected = (Verdict.FAIL, str(error))
    found = examined(folder, tmp_path)["export folder"]
    assert (found.verdict, found.advice) == expected


@pytest.mark.parametrize("calendar", ["CalendarView_v0", "Event_v1"])
def test_c7_doctor_cannot_tell_only_what_no_dataset_of_the_export_tells(tmp_path: Path, calendar: str) -> None:
    folder = write_export(tmp_path / "export", **USERS, **MAIL)
    assert examined(folder, tmp_path).keys() & OPTIONAL == OPTIONAL
    write_export(folder, **{calendar: [{"id": "3"}]})
    assert examined(folder, tmp_path).keys() & OPTIONAL == {"GroupMembers_v0", "MailFolder_v0"}


def test_w4_doctor_warns_of_what_a_deletion_would_wait_for(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "export", **USERS, **MAIL)
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    assert examined(folder, tmp_path)["data directory"].verdict is Verdict.PASS
    (tmp_path / "data" / "holiday.jpg").touch()
    found = examined(folder, tmp_path)["data directory"]
    assert (found.verdict, found.advice[:31]) == (Verdict.FAIL, "1 files or folders in it are no")
