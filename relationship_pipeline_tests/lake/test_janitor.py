"""What a killed process left is swept at the next start, and nothing that is in use (reliability.md 5.2)."""

from __future__ import annotations

import multiprocessing
import os
import resource
from datetime import UTC, datetime, timedelta

import pytest

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.durable import TEMP_PREFIX, put_bytes, temp_path
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.lake.engine import open_engine
from relationship_pipeline.lake.janitor import drop_old_exports, drop_old_months, sweep
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline_tests import factories as make
from relationship_pipeline_tests.collecting import SmallLake

ANA = "ana@contoso.com"
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path):
    mail = [make.message(ANA, sender="zoe@fabrikam.com", to=[ANA], at=MARCH)]
    make.write_export(tmp_path / "export", User_v1=[make.user(ANA)], Message_v1=mail)
    return SmallLake(tmp_path / "export", tmp_path / "data")


def test_nothing_to_sweep(lake):
    assert sweep(lake.layout) == 0
    lake.emails()
    assert sweep(lake.layout) == 0


def test_temp_files_and_parts_that_no_manifest_names_go(lake):
    manifest, rows = lake.emails()
    folder = lake.epoch.month("email", "2026-03")
    for name in (f"{TEMP_PREFIX}0123.parquet", "part-0123456789abcdef.parquet"):
        (folder / name).write_bytes(b"half")
    assert sweep(lake.layout) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(file.name for file in manifest.files), "manifest.json"]
    )
    assert lake.rows("email", "2026-03") == rows


def test_work_files_of_killed_publications_and_restores_go_and_those_in_use_stay(lake):
    for suffix in ("-publish", "-restore"):
        put_bytes(temp_path(lake.epoch.tmp, suffix) / "copy.parquet", b"rows")
    put_bytes(temp_path(lake.epoch.tmp, ".html"), b"page")
    put_bytes(lake.epoch.tmp / "demo" / "contacts.csv", b"")
    with locked(lake.layout.work_lock("publish")), locked(lake.layout.work_lock("restore")):
        assert sweep(lake.layout) == 0
    assert sweep(lake.layout) == 3
    assert [path.name for path in lake.epoch.tmp.iterdir()] == ["demo"]


def test_b1_a_month_leaves_the_lake_a_month_after_it_left_the_window(lake):
    lake.emails()
    folder = lake.epoch.month("email", "2026-03")
    assert drop_old_months(lake.layout, lake.epoch, datetime(2027, 4, 30, 23, tzinfo=UTC)) == 0
    with locked(lake.layout.table_lock("email", "2026-03")):
        assert drop_old_months(lake.layout, lake.epoch, datetime(2027, 5, 1, tzinfo=UTC)) == 0
    assert folder.exists()
    assert drop_old_months(lake.layout, lake.epoch, datetime(2027, 5, 1, tzinfo=UTC)) == 1
    assert not folder.exists()


def test_a_month_that_never_committed_is_emptied(lake):
    folder = lake.epoch.month("email", "2026-02")
    folder.mkdir(parents=True)
    (folder / "part-0123456789abcdef.parquet").write_bytes(b"whole but not committed")
    assert sweep(lake.layout) == 1
    assert list(folder.iterdir()) == []


def test_what_another_process_works_on_stays(lake):
    lake.emails()
    temp = lake.epoch.month("email", "2026-03") / f"{TEMP_PREFIX}0123.parquet"
    temp.write_bytes(b"in flight")
    split = lake.epoch.stage / "data_connect" / f"{TEMP_PREFIX}cafe"
    split.mkdir()
    with (
        locked(lake.layout.table_lock("email", "2026-03")),
        locked(split.with_name("cafe.lock")),
        open_engine(lake.epoch.spill),
    ):
        assert sweep(lake.layout) == 0
    assert sweep(lake.layout) == 2


def test_spill_of_a_process_that_is_gone_goes(lake):
    gone = lake.epoch.spill / f"{TEMP_PREFIX}0123" / "duckdb"
    gone.mkdir(parents=True)
    (gone / "duckdb_temp_storage-0.tmp").write_bytes(b"ana@contoso.com")
    assert sweep(lake.layout) == 1
    assert list(lake.epoch.spill.iterdir()) == []


def test_an_engine_leaves_no_spill_behind(lake):
    with open_engine(lake.epoch.spill, memory_limit="100MiB", threads=1) as engine:
        engine.execute(
            "create temp table t as select range as a, repeat(hash(range)::varchar, 4) as b from range(2000000)"
        )
        assert [path for path in lake.epoch.spill.rglob("*") if path.is_file() and path.stat().st_size]
    assert list(lake.epoch.spill.iterdir()) == []


def test_what_is_not_ours_is_left_alone(lake):
    lake.emails()
    folder = lake.epoch.month("email", "2026-03")
    (folder / "notes.txt").write_text("a person put this here")
    assert sweep(lake.layout) == 0


def _collect_with_little_disk(lake, results):
    lake.stage_emails("2026-03")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        lake.emails()
    except PipelineError as error:
        results.put(str(error))
    else:
        results.put("collected")


def test_a_full_disk_leaves_the_old_month_and_no_temp_file(lake):
    _, rows = lake.emails()
    more = [make.message(ANA, sender=f"p{n}@fabrikam.com", to=[ANA], at=MARCH) for n in range(300)]
    make.write_export(lake.export, Message_v1=more)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_collect_with_little_disk, args=(lake, results))
    child.start()
    assert "disk full" in results.get(timeout=120)
    child.join()
    assert lake.rows("email", "2026-03") == rows
    assert not list(lake.epoch.lake.rglob(f"{TEMP_PREFIX}*"))
    assert lake.emails()[0].rows == 300


def test_exports_are_kept_for_a_day(tmp_path):
    epoch = EpochLayout(tmp_path / "epochs" / "e0001-00000000")
    epoch.root.mkdir(parents=True)
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    for name, age in (("old.csv", timedelta(hours=24)), ("fresh.csv", timedelta(hours=23, minutes=59))):
        put_bytes(epoch.exports / "x" / name, b"rows")
        at = (now - age).timestamp()
        os.utime(epoch.exports / "x" / name, (at, at))
    assert drop_old_exports(epoch, now) == 1
    assert [path.name for path in epoch.exports.rglob("*.csv")] == ["fresh.csv"]
