"""The consent record and its gate (C1-C6, W6)."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from functools import partial

import pytest

from relationship_pipeline.consent import ledger as ledger_module
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.consent import (
    CONSENT_SCOPE,
    CONSENT_TEXT_VERSION,
    ENDED_STATES,
    ConsentLevel,
    ConsentState,
    Purpose,
    may_change,
)
from relationship_pipeline.erasure.run import run_erasure
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.consent.tenant import NOW
from relationship_pipeline_tests.erasure.lived_in import ADMIN, PEOPLE, Home, commit, consented, email_rows

DAY = timedelta(days=1)


@pytest.fixture
def ledger(layout):
    return ControlLedger(layout)


def test_c1_consent_is_an_explicit_dated_record(ledger):
    record, fresh = ledger.provide(ADMIN, now=NOW, admin_role="Global Administrator", verified=True)
    assert fresh
    assert (record.admin, record.admin_role, record.verified) == (ADMIN, "Global Administrator", True)
    assert (record.granted_at, record.text_version, record.first_month) == (NOW, CONSENT_TEXT_VERSION, "2025-11")
    assert ledger.current() == record
    assert [reason for _, reason in ledger.history()] == ["provided"]


def test_c2_one_consent_covers_both_uses():
    assert "relationship analytics" in CONSENT_SCOPE
    assert "who knows whom" in CONSENT_SCOPE


def test_c3_level_aggregated_is_accepted_in_the_record_and_refused_at_collection(ledger):
    record, _ = ledger.provide(ADMIN, now=NOW, level=ConsentLevel.AGGREGATED)
    with pytest.raises(ConsentRefused, match="aggregated"):
        ledger.require(Purpose.COLLECT)
    changed, fresh = ledger.provide(ADMIN, now=NOW + DAY, level=ConsentLevel.IDENTIFIABLE)
    assert not fresh
    assert (changed.epoch, changed.granted_at) == (record.epoch, record.granted_at)
    ledger.require(Purpose.COLLECT)


def test_c4_no_consent_no_collection(ledger):
    with pytest.raises(ConsentRefused, match="no consent"):
        ledger.require(Purpose.COLLECT)
    assert not ledger.layout.control.exists(), "asking creates nothing"


@pytest.mark.parametrize("state", sorted(ENDED_STATES | {ConsentState.PRESUMED_WITHDRAWN, ConsentState.SUSPECT}))
def test_c4_every_other_state_than_granted_refuses_to_collect(ledger, state):
    record, _ = ledger.provide(ADMIN, now=NOW)
    ledger.change_state(record.epoch, state, now=NOW, reason="test")
    with pytest.raises(ConsentRefused, match="consent"):
        ledger.require(Purpose.COLLECT)


def test_c4_a_run_of_an_earlier_epoch_is_refused_under_a_later_consent(ledger):
    first, _ = ledger.provide(ADMIN, now=NOW)
    ledger.withdraw(first.epoch, now=NOW, source="cli", reason="withdrawn")
    ledger.provide(ADMIN, now=NOW)
    with pytest.raises(ConsentRefused, match="has ended"):
        ledger.require(Purpose.COLLECT, first.epoch)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(100)])
def test_c4_a_ledger_that_cannot_be_read_refuses(ledger, content):
    ledger.provide(ADMIN, now=NOW)
    ledger.layout.control_ledger.write_bytes(content)
    with pytest.raises(ConsentRefused, match="consent"):
        ledger.require(Purpose.COLLECT)


def test_c6_an_epoch_whose_consent_ended_never_lives_again():
    for ended in ENDED_STATES:
        assert not any(may_change(ended, state) for state in ConsentState if state not in ENDED_STATES)
    assert may_change(ConsentState.PRESUMED_WITHDRAWN, ConsentState.GRANTED)


def test_c6_a_change_that_the_rules_do_not_know_is_refused(ledger):
    record, _ = ledger.provide(ADMIN, now=NOW)
    ledger.withdraw(record.epoch, now=NOW, source="cli", reason="withdrawn")
    with pytest.raises(Refused, match="cannot become granted"):
        ledger.change_state(record.epoch, ConsentState.GRANTED, now=NOW, reason="test")


def test_w1_the_ledger_and_all_it_makes_is_private_under_any_umask(tmp_path):
    script = (
        "import os, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "os.umask(0)\n"
        "from relationship_pipeline.consent.ledger import ControlLedger\n"
        "from relationship_pipeline.layout import Layout\n"
        "ControlLedger(Layout(Path(sys.argv[1]))).provide('a@b.example', now=datetime.now(UTC))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "data")], check=True, env=os.environ)
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_w6_random_sequences_of_consent_withdrawal_and_deletion_never_mix_epochs(tmp_path):
    """reliability.md 7 no. 26: new epochs are empty, old deletions go on, nobody writes into a dead epoch."""
    seed = 26
    rng = random.Random(seed)
    home: Home | None = None
    layout = Layout(tmp_path / "data")
    ledger = ControlLedger(layout)
    dead: set[str] = set()
    done = {"provide": 0, "withdraw": 0, "erase": 0, "commit": 0, "refused": 0}
    for step in range(50):
        action = rng.choice(["provide", "withdraw", "erase", "commit"])
        at = NOW + step * timedelta(hours=1)
        if action == "provide":
            record, fresh = ledger.provide(ADMIN, now=at)
            home = Home(layout, record.epoch)
            assert record.epoch not in dead
            if fresh:
                assert not any(path.is_file() for path in home.tree.lake.rglob("*"))
        elif home is None:
            continue
        elif action == "withdraw":
            ledger.withdraw(home.epoch, now=at, source="cli", reason="withdrawn")
            dead.add(home.epoch)
        elif action == "erase" and dead:
            chosen = Home(layout, rng.choice(sorted(dead)))
            erasure = run_erasure(chosen.deletion(now=partial(lambda at: at, at)))
            assert erasure.state.value == "CLOSED", (seed, step, erasure.blocked)
        elif action == "commit":
            target = rng.choice([home, *(Home(layout, epoch) for epoch in sorted(dead))])
            if target.epoch in dead:
                with pytest.raises(ConsentRefused):
                    commit(target, "email", "2026-10", email_rows(PEOPLE, NOW))
                done["refused"] += 1
            else:
                commit(target, "email", "2026-10", email_rows(PEOPLE, NOW))
        done[action] += 1
        current = ledger.current()
        assert current is not None
        assert current.epoch == home.epoch
        assert ledger.live_epochs() == ([] if home.epoch in dead else [home.epoch])
    assert min(done.values()) >= 3, done


def test_c4_a_ledger_of_another_version_refuses_in_one_line_that_says_what_to_do(tmp_path):
    home = consented(tmp_path / "data")
    for path, read in (
        (home.tree.ledger, OptOuts(home.layout, home.epoch).entries),
        (home.layout.control_ledger, ControlLedger(home.layout).current),
    ):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma user_version = 0")
        with pytest.raises(Refused, match=r"another version of this program .* go on with that version"):
            read()


def test_c4_a_ledger_is_made_whole_or_not_at_all(tmp_path):
    """Killed while it is made, the next command makes it: tables and version are one transaction."""
    layout = Layout(tmp_path / "data")
    layout.control.mkdir(parents=True)
    with closing(sqlite3.connect(layout.control_ledger)) as connection:
        connection.executescript(ledger_module._SCHEMA.replace("commit;", ""))
    assert ControlLedger(layout).provide(ADMIN, now=NOW)[1]
