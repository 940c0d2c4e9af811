"""Sealed backups: made, purged, restored or refused (W2, reliability.md 4.3, 7 no. 27)."""

from __future__ import annotations

import multiprocessing
import random
import shutil
from contextlib import nullcontext
from datetime import timedelta

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.durable import make_folder, put_bytes, temp_path
from relationship_pipeline.erasure.backups import CHUNK, RETENTION, make_backup, purge_backups, restore_backup
from relationship_pipeline.erasure.run import run_erasure
from relationship_pipeline.errors import BadInput, BadLake, ConsentRefused, PipelineError, Refused
from relationship_pipeline.lake.janitor import sweep
from relationship_pipeline.lake.manifest import read_manifest
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, commit, consented, email_rows, live_in


@pytest.fixture
def home(tmp_path):
    return live_in(consented(tmp_path / "data"), backup=False)


def restore(home, path):
    return restore_backup(home.layout, home.store, path, reapply=lambda tree: None, now=NOW)


def test_w2_a_backup_holds_nothing_readable_without_its_key(home):
    sealed = make_backup(home.layout, home.store, home.epoch, NOW).read_bytes()
    for text in (b"customer.example", b"id-amber", b"PAR1", b"manifest.json"):
        assert text not in sealed


def test_w2_a_restore_brings_back_the_months_as_they_were_sealed(home):
    folder = home.tree.month("email", "2026-10")
    before = read_manifest(folder)
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    commit(home, "email", "2026-10", [])
    assert read_manifest(folder).rows == 0
    done = restore(home, path)
    assert done["folders"] == 4
    assert open_table(folder).content_id == before.content_id
    assert not list(home.tree.tmp.iterdir()), "the opened archive is gone"


def share_a_file(home):
    """Interactions of a month in which two kinds have equal rows: their file, named by its content, is one."""
    folder = make_folder(home.tree.month("interactions", "2026-09"))
    temp = temp_path(folder, ".parquet")
    pq.write_table(pa.table({"address": pa.array([], pa.string())}), temp)
    part = adopt_part(temp, "email_identities", 0)
    files = [part, msgspec.structs.replace(part, table="meeting_identities")]
    commit_manifest(folder, epoch=home.epoch, table="interactions", month="2026-09", files=files, fence=nullcontext)
    return folder


def test_w2_a_month_whose_kinds_share_a_file_comes_back(home):
    folder = share_a_file(home)
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    shutil.rmtree(folder)
    restore(home, path)
    assert [file.table for file in open_table(folder).files] == ["email_identities", "meeting_identities"]


def test_w2_a_damaged_month_is_named_and_not_sealed(home):
    """A backup with it could not be restored, and after 30 days there would be no other."""
    (part,) = home.tree.month("email", "2026-10").glob("part-*")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(BadLake, match="month 2026-10 of email"):
        make_backup(home.layout, home.store, home.epoch, NOW)
    assert not list(home.store.folder(home.epoch).iterdir())


def back_up_often(home):
    for _ in range(30):
        make_backup(home.layout, home.store, home.epoch, NOW)


def purge_and_sweep_often(home):
    for _ in range(200):
        purge_backups(home.layout, home.store, NOW)
        sweep(home.layout)


def replace_often(home):
    for number in range(60):
        with locked(home.layout.table_lock("email", "2026-10")):
            commit(home, "email", "2026-10", email_rows(("amber",) * (1 + number % 2), NOW))


def restore_often(home):
    for _ in range(10):
        restore(home, make_backup(home.layout, home.store, home.epoch, NOW))


def test_w2_backups_restores_purging_and_replaced_months_at_once(home):
    work = (back_up_often, restore_often, purge_and_sweep_often, purge_and_sweep_often, replace_often)
    with multiprocessing.get_context("fork").Pool(len(work)) as pool:
        for result in [pool.apply_async(one, (home,)) for one in work]:
            result.get(timeout=100)
        pool.close()
        pool.join()
    assert len(home.store.sealed(home.epoch)) == 40
    restore(home, home.store.sealed(home.epoch)[-1])
    assert open_table(home.tree.month("email", "2026-10")) is not None


def test_w2_a_month_larger_than_a_chunk_is_sealed_in_several(home):
    put_bytes(home.tree.tmp / "x", b"")
    noise = random.Random(1)
    rows = [
        {"n": number, "text": "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60))}
        for number in range(60_000)
    ]
    commit(home, "planned_meetings", None, rows)
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    assert path.stat().st_size > 2 * CHUNK
    commit(home, "planned_meetings", None, [])
    restore(home, path)
    folder = home.tree.table("planned_meetings")
    assert pq.read_table(open_table(folder).paths(folder)[0], partitioning=None).to_pylist() == rows


def test_w2_after_a_withdrawal_no_backup_can_be_made_or_restored(home):
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    home.withdraw()
    with pytest.raises(ConsentRefused):
        make_backup(home.layout, home.store, home.epoch, NOW)
    with pytest.raises(Refused, match="has ended"):
        restore(home, path)


def test_w2_a_backup_of_a_dead_epoch_is_refused_under_a_later_consent_too(home, tmp_path):
    kept = tmp_path / "copied-away.sealed"
    kept.write_bytes(make_backup(home.layout, home.store, home.epoch, NOW).read_bytes())
    home.withdraw()
    assert run_erasure(home.deletion()).state.value == "CLOSED"
    ControlLedger(home.layout).provide(ADMIN, now=NOW)
    with pytest.raises(Refused, match="has ended"):
        restore(home, kept)


def test_w2_every_change_of_a_sealed_file_is_noticed(home, tmp_path):
    whole = make_backup(home.layout, home.store, home.epoch, NOW).read_bytes()
    rng = random.Random(11)
    path = tmp_path / "changed.sealed"
    for number in range(40):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(PipelineError):
            restore(home, path)
        path.write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(PipelineError):
            restore(home, path)
        assert number < 40
    assert not list(home.tree.tmp.iterdir())


def test_w2_a_header_swapped_from_another_backup_is_refused(home, tmp_path):
    one = make_backup(home.layout, home.store, home.epoch, NOW).read_bytes()
    other = make_backup(home.layout, home.store, home.epoch, NOW).read_bytes()
    size = 12 + int.from_bytes(one[8:12], "big")
    path = tmp_path / "swapped.sealed"
    path.write_bytes(one[:size] + other[12 + int.from_bytes(other[8:12], "big") :])
    with pytest.raises(BadInput, match="changed or cut"):
        restore(home, path)


def test_w2_a_backup_without_its_key_or_with_another_is_refused_in_one_line(home):
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    key = home.store.key_path(home.epoch)
    key.write_bytes(bytes(32))
    with pytest.raises(BadInput, match="another key"):
        restore(home, path)
    key.unlink()
    with pytest.raises(Refused, match="key"):
        restore(home, path)


def test_w2_backups_are_kept_30_days_at_most_and_not_at_all_after_the_consent(home):
    make_backup(home.layout, home.store, home.epoch, NOW - RETENTION)
    young = make_backup(home.layout, home.store, home.epoch, NOW - RETENTION + timedelta(seconds=1))
    assert purge_backups(home.layout, home.store, NOW) == {"removed": 1, "kept": 1}
    assert home.store.sealed(home.epoch) == [young]
    ControlLedger(home.layout).change_state(home.epoch, ConsentState.WITHDRAWN, now=NOW, reason="test")
    assert purge_backups(home.layout, home.store, NOW) == {"removed": 1, "kept": 0}


def test_w5_what_was_forbidden_since_is_taken_out_before_a_restore_is_served(home):
    path = make_backup(home.layout, home.store, home.epoch, NOW)
    served = []

    def reapply(tree):
        folder = tree.month("email", "2026-10")
        assert open_table(folder).rows == 3, "the work folder looks like an epoch's tree"
        served.append(home.tree.lake)
        raise Refused("stop here")

    commit(home, "email", "2026-10", email_rows(["amber"], NOW))
    with pytest.raises(Refused, match="stop here"):
        restore_backup(home.layout, home.store, path, reapply=reapply, now=NOW)
    assert served
    assert read_manifest(home.tree.month("email", "2026-10")).rows == 1, "nothing took its place"
