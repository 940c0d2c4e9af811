"""From withdrawal to the final certificate (W1-W4, C6)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import duckdb
import pytest

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentState, Purpose
from relationship_pipeline.domain.erasure import ErasureState
from relationship_pipeline.durable import put_bytes
from relationship_pipeline.erasure.certificate import find_certificate, verify_certificate
from relationship_pipeline.erasure.data_map import unregistered
from relationship_pipeline.erasure.run import (
    erasure_status,
    is_erased,
    run_all,
    run_erasure,
    verify_now,
    what_will_go,
    withdraw,
)
from relationship_pipeline.erasure.steps import Hooks
from relationship_pipeline.erasure.workers import registered
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.publishing.register import record_export
from relationship_pipeline.settings import load_settings
from relationship_pipeline_tests.command import run
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, PEOPLE, commit, consented, email_rows, live_in


@pytest.fixture
def home(tmp_path):
    return live_in(consented(tmp_path / "data"))


def below(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_w1_the_withdraw_command_itself_closes_the_fence(home):
    ledger = ControlLedger(home.layout)
    erasure = withdraw(home.layout, ADMIN, home.epoch, NOW)
    assert erasure.state is ErasureState.FENCED
    assert erasure.due_app == NOW + timedelta(hours=24)
    assert erasure.due_backup == NOW + timedelta(days=30)
    assert ledger.current().state is ConsentState.WITHDRAWN
    with pytest.raises(ConsentRefused, match="consent"), ledger.commit_fence(home.epoch, Purpose.DERIVE):
        pass
    with pytest.raises(ConsentRefused):
        commit(home, "email", "2026-10", email_rows(PEOPLE, NOW))
    assert withdraw(home.layout, ADMIN, home.epoch, NOW + timedelta(hours=1)) == erasure, "again changes nothing"


def test_w1_a_withdrawal_of_an_unknown_epoch_refuses(home):
    with pytest.raises(Refused, match="no epoch"):
        withdraw(home.layout, ADMIN, "e0009-00000000", NOW)
    assert ControlLedger(home.layout).current().state is ConsentState.GRANTED


def test_the_dry_run_counts_what_will_go_the_inbox_and_backups_included(home):
    counts = what_will_go(home.layout, home.store, home.epoch)
    for name in ("email", "published databases", "Exchange export", "backups", "backup keys", "epoch ledger"):
        assert counts[name]["files"] >= 1, name
    assert "not on the map" not in counts
    assert "CRM export" not in counts


def test_w2_w4_a_withdrawal_ends_erased_verified_and_closed(home):
    home.withdraw()
    erasure = run_erasure(home.deletion())
    assert erasure.state is ErasureState.CLOSED
    assert is_erased(erasure)
    assert ControlLedger(home.layout).current().state is ConsentState.ERASED
    assert below(home.layout.epochs) == []
    assert list(home.layout.epochs.iterdir()) == []
    assert not home.layout.published.is_symlink()
    assert below(home.layout.keys) == below(home.layout.backups) == []
    assert not home.layout.inbox_data_connect.exists()
    assert (home.layout.inbox_crm / "contacts.csv").exists(), "the company's own records are never touched"
    assert home.layout.inbox_opt_outs.exists()
    assert unregistered(home.layout.root) == []
    result = verify_now(home.deletion())
    assert result["clean"], result["findings"]


def test_w4_the_scan_before_saw_addresses_in_every_class_of_store_that_held_any(home):
    home.withdraw()
    run_erasure(home.deletion())
    content = verify_certificate(find_certificate(home.layout, home.epoch, "app"))
    saw = set(content["scan"]["saw_addresses_before_in"])
    held = {
        "email",
        "meetings",
        "interactions",
        "directory",
        "insights",
        "published databases",
        "epoch ledger",
        "stage",
        "spill",
        "exports",
        "Exchange export",
    }
    assert held <= saw
    assert content["scan"]["blind_before_in"] == []
    assert not any(seen["with_addresses"] for seen in content["after"].values())


def test_w4_the_certificates_hold_no_personal_data(home):
    home.withdraw()
    run_erasure(home.deletion())
    files = below(home.layout.certificates)
    assert files == [f"0001-{home.epoch}-app.json", f"0002-{home.epoch}-final.json"]
    for path in home.layout.certificates.iterdir():
        text = path.read_text()
        assert "@" not in text
        assert not any(name in text.lower() for name in ("amber", "contoso", "customer"))
        assert str(home.layout.root) not in text
    final = verify_certificate(home.layout.certificates / files[1])
    assert final["backups"]["sealed_left"] == 0
    assert final["deleted"]["FILES_ERASED"]["files"] > 5


def test_w3_runs_in_flight_are_cancelled_first_and_a_run_that_goes_on_blocks(home):
    home.withdraw()
    asked = []

    def cancel(epoch):
        asked.append(epoch)
        return 2 - len(asked)

    erasure = run_erasure(home.deletion(hooks=Hooks(cancel_runs=cancel)))
    assert erasure.state is ErasureState.UNSERVED
    assert erasure.blocked == "1 run(s) of the epoch have not ended yet"
    assert home.tree.lake.exists()
    assert run_erasure(home.deletion(hooks=Hooks(cancel_runs=cancel))).state is ErasureState.CLOSED
    assert asked == [home.epoch, home.epoch]


def test_w3_a_registered_process_of_the_epoch_is_ended(home):
    script = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from relationship_pipeline.layout import Layout\n"
        "from relationship_pipeline.erasure.workers import registered\n"
        "with registered(Layout(Path(sys.argv[1])), sys.argv[2], 'crawl'):\n"
        "    print('up', flush=True)\n"
        "    signal.pause()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(home.layout.root), home.epoch], stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout.readline() == "up\n"
        home.withdraw()
        assert run_erasure(home.deletion(grace_seconds=5)).state is ErasureState.CLOSED
        assert worker.wait(10) != 0
    finally:
        worker.kill()
        worker.communicate()


def test_w3_this_very_process_is_never_ended_though_registered(home):
    with registered(home.layout, home.epoch, "erase"):
        home.withdraw()
        assert run_erasure(home.deletion()).state is ErasureState.CLOSED


def test_w4_an_open_reader_keeps_the_deletion_from_verified_until_it_closes(home):
    reader = duckdb.connect(str(home.tree.published / "salesperson.duckdb"), read_only=True)
    try:
        home.withdraw()
        erasure = run_erasure(home.deletion())
        assert erasure.state is ErasureState.KEY_DESTROYED
        assert "open_deleted_file" in erasure.blocked
        assert below(home.layout.epochs) == [], "its bytes are unlinked all the same"
        assert find_certificate(home.layout, home.epoch, "app") is None
    finally:
        reader.close()
    assert run_erasure(home.deletion()).state is ErasureState.CLOSED


def test_w2_the_scrub_hook_runs_and_deleted_rows_leave_no_free_pages(home):
    history = home.layout.dagster_home / "history" / "runs.db"
    with closing(sqlite3.connect(history)) as connection, connection:
        connection.execute("pragma secure_delete = off")
        connection.executemany("insert into runs values (?, ?)", [(str(n), "kim@customer.example") for n in range(500)])

    def scrub(epoch):
        with closing(sqlite3.connect(history)) as connection, connection:
            connection.execute("pragma secure_delete = off")
            connection.execute("delete from runs where run_body like '%@%'")
        assert b"kim@customer.example" in history.read_bytes()
        return {"runs": 500}

    home.withdraw()
    assert run_erasure(home.deletion(hooks=Hooks(scrub=scrub))).state is ErasureState.CLOSED
    assert b"kim@customer.example" not in history.read_bytes()


def test_w3_without_a_withdrawal_there_is_nothing_to_erase(home):
    with pytest.raises(Refused, match="nothing was withdrawn"):
        run_all(home.deletion())
    assert erasure_status(home.layout, NOW) is None


def test_w3_only_one_motor_works_on_a_deletion(home):
    from relationship_pipeline.consent.fence import locked

    home.withdraw()
    with locked(home.layout.work_lock("erase")), pytest.raises(Refused, match="another run"):
        run_erasure(home.deletion())


def test_w4_an_unknown_file_stops_the_verification_and_is_named_to_the_administrator(home):
    put_bytes(home.layout.root / "notes.txt", b"call kim")
    home.withdraw()
    erasure = run_erasure(home.deletion())
    assert erasure.blocked == "the scan found: unknown_path (1)"
    assert {"kind": "unknown_path", "path": "notes.txt"} in verify_now(home.deletion())["findings"]
    (home.layout.root / "notes.txt").unlink()
    assert run_erasure(home.deletion()).state is ErasureState.CLOSED


def test_w6_consent_given_again_starts_a_new_empty_epoch_while_the_old_deletion_goes_on(home):
    home.withdraw()
    ledger = ControlLedger(home.layout)
    again, fresh = ledger.provide(ADMIN, now=NOW + timedelta(minutes=1))
    assert fresh
    assert again.epoch != home.epoch
    new = live_in(type(home)(home.layout, again.epoch))
    with pytest.raises(ConsentRefused):
        commit(home, "email", "2026-10", email_rows(PEOPLE, NOW))
    erased = run_erasure(home.deletion())
    assert erased.state is ErasureState.CLOSED, erased.blocked
    assert ledger.current().epoch == again.epoch
    assert ledger.current().state is ConsentState.GRANTED
    assert [path.name for path in home.layout.epochs.iterdir()] == [again.epoch]
    assert (new.tree.published / "salesperson.duckdb").exists()
    assert new.store.key_path(again.epoch).exists()
    assert new.store.sealed(again.epoch)
    assert new.layout.inbox_data_connect.exists(), "what was put there under the new consent is the new one's"


def test_w6_the_old_inbox_goes_with_the_old_epoch_when_consent_is_given_again_at_once(home):
    home.withdraw()
    ControlLedger(home.layout).provide(ADMIN, now=NOW)
    assert not home.layout.inbox_data_connect.exists()
    assert (home.tree.root / "inbox_data_connect" / "Message_v1.json.gz").exists()
    run_erasure(home.deletion())
    assert not home.tree.root.exists()


def test_w2_a_linked_export_is_unlinked_and_what_it_links_to_left_alone(home, tmp_path):
    elsewhere = home.layout.inbox_data_connect.rename(tmp_path / "export")
    home.layout.inbox_data_connect.symlink_to(elsewhere)
    home.withdraw()
    assert run_erasure(home.deletion()).state is ErasureState.CLOSED
    assert not home.layout.inbox_data_connect.is_symlink()
    assert below(elsewhere) == ["Message_v1.json.gz"]


def test_status_has_the_shape_that_scripts_rely_on(home):
    home.withdraw()
    status = erasure_status(home.layout, NOW)
    assert {"epoch", "state", "requested_at", "due_app", "due_backup", "overdue"} <= set(status)
    assert (status["epoch"], status["state"], status["overdue"]) == (home.epoch, "FENCED", False)
    json.dumps(status)


def test_w4_exports_that_were_handed_out_are_shown_on_withdrawal_and_numbered_in_the_certificate(home):
    record_export(home.tree.ledger, "graph .graphml", "salesperson", "the consultants", NOW)
    shown = run(
        "consent", "withdraw", "--admin", ADMIN, "--dry-run", RELATIONSHIP_DATA_DIR=str(home.layout.root)
    ).stderr
    assert "graph .graphml for the consultants (salesperson); tell them of the withdrawal" in shown
    home.withdraw()
    run_erasure(home.deletion())
    certificate = find_certificate(home.layout, home.epoch, "app")
    assert {"what": "exports handed out, by number in the register", "numbers": [1]} in verify_certificate(certificate)[
        "outside"
    ]
    assert "consultants" not in certificate.read_text()


@pytest.mark.parametrize("way", ["named", "linked"])
def test_w4_sources_outside_the_data_directory_are_left_alone_and_counted_in_the_certificate(home, tmp_path, way):
    export, crm = tmp_path / "bo.bark@contoso.example", tmp_path / "crm"
    for path in (export / "Message_v1" / "a.json", export / "User_v1" / "b.json", crm / "contacts.csv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
    environment = {
        "RELATIONSHIP_DATA_DIR": str(home.layout.root),
        "RELATIONSHIP_SOURCE": "data_connect",
        "RELATIONSHIP_CRM_DIR": str(crm),
    }
    if way == "named":
        environment["RELATIONSHIP_DATA_CONNECT_DIR"] = str(export)
    else:
        shutil.rmtree(home.layout.inbox_data_connect)
        home.layout.inbox_data_connect.symlink_to(export)
    told = run("consent", "withdraw", "--admin", ADMIN, "--epoch", home.epoch, "--yes", **environment).stderr
    assert "export folder outside the data directory: 2 files, not ours to delete" in told
    named = {"data_connect_dir": export} if way == "named" else {}
    settings = load_settings(data_dir=home.layout.root, source="data_connect", crm_dir=crm, **named)
    run_erasure(home.deletion(left_alone=settings.sources_outside))
    certificate = find_certificate(home.layout, home.epoch, "app")
    outside = {one["what"]: one.get("files") for one in verify_certificate(certificate)["outside"]}
    assert outside["export folder outside the data directory"] == 2
    assert outside["CRM folder outside the data directory"] == 1
    assert "bo.bark" not in certificate.read_text()
    assert len(below(export)) == 2


@pytest.mark.parametrize("damage", ["overwritten", "missing"])
def test_w1_a_damaged_epoch_ledger_keeps_nobody_from_withdrawing_and_nothing_from_being_erased(home, damage):
    if damage == "missing":
        home.tree.ledger.unlink()
    else:
        home.tree.ledger.write_bytes(b"no database" * 999)
    refused_before = run("consent", "withdraw", "--admin", ADMIN, RELATIONSHIP_DATA_DIR=str(home.layout.root))
    assert f"--epoch {home.epoch} --yes" in refused_before.stderr, "it only asks to be sure"
    done = run(
        "consent",
        "withdraw",
        "--admin",
        ADMIN,
        "--epoch",
        home.epoch,
        "--yes",
        RELATIONSHIP_DATA_DIR=str(home.layout.root),
    )
    assert done.returncode == 0, done.stderr
    assert "what was exported, and to whom, is not known" in done.stderr
    assert run_erasure(home.deletion()).state is ErasureState.CLOSED
    assert below(home.layout.epochs) == []
    outside = verify_certificate(find_certificate(home.layout, home.epoch, "app"))["outside"]
    assert {
        "what": "exports handed out, by number in the register",
        "numbers": [],
        "register": "it could not be read",
    } in outside
    again = run("consent", "withdraw", "--admin", ADMIN, RELATIONSHIP_DATA_DIR=str(home.layout.root))
    assert (again.returncode, "erased already" in again.stdout) == (0, True)


def test_c1_the_status_tells_who_gave_the_consent_from_who_withdrew_it(home):
    environment = {"RELATIONSHIP_DATA_DIR": str(home.layout.root)}
    run("consent", "withdraw", "--admin", "someone.else", "--epoch", home.epoch, "--yes", **environment)
    told = run("consent", "status", **environment).stdout
    assert f"given by {ADMIN} (" in told and "withdrawn by someone.else on " in told
    record = json.loads(run("consent", "status", "--json", **environment).stdout)
    assert (record["admin"], record["withdrawn_by"]) == (ADMIN, "someone.else")
