"""A withdrawal that only the directory knows of (C6, graph.md 4.2-4.3), on a virtual clock."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.watch import watch_directory
from relationship_pipeline.domain.consent import Confirmation, ConsentState, Purpose
from relationship_pipeline.erasure.progress import ErasureProgress
from relationship_pipeline.erasure.run import confirm_presumed
from relationship_pipeline.errors import ConsentRefused, PipelineError, Refused
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.consent.tenant import NOW

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PRESENT, MISSING, UNKNOWN = Confirmation.PRESENT, Confirmation.MISSING, Confirmation.UNKNOWN
GRANTED, SUSPECT = ConsentState.GRANTED, ConsentState.SUSPECT
PRESUMED, WITHDRAWN = ConsentState.PRESUMED_WITHDRAWN, ConsentState.WITHDRAWN


@pytest.fixture
def ledger(layout):
    control = ControlLedger(layout)
    control.provide("admin@contoso.example", now=NOW)
    return control


def look(
    layout: Layout, seen: Confirmation, at: datetime, mode: str = "entra", application: str = "ours"
) -> ConsentState | None:
    state = watch_directory(layout, lambda: seen, at, grant_mode=mode, application=application)
    if confirm_presumed(layout, at) is not None:
        state = ControlLedger(layout).current().state
    return state


def test_c6_one_miss_only_pauses_collection(layout, ledger):
    assert look(layout, MISSING, NOW) is SUSPECT
    with pytest.raises(ConsentRefused, match="consent"):
        ledger.require(Purpose.COLLECT)
    ledger.require(Purpose.DERIVE)
    assert look(layout, MISSING, NOW + 4 * MINUTE) is SUSPECT, "two misses within 5 minutes are lag"
    assert look(layout, PRESENT, NOW + 6 * MINUTE) is GRANTED
    ledger.require(Purpose.COLLECT)


def test_c6_two_misses_five_minutes_apart_fence_at_once_and_delete_after_12_hours(layout, ledger):
    look(layout, MISSING, NOW)
    assert look(layout, MISSING, NOW + 5 * MINUTE) is PRESUMED
    with pytest.raises(ConsentRefused):
        ledger.require(Purpose.DERIVE)
    assert look(layout, MISSING, NOW + 12 * HOUR - MINUTE) is PRESUMED
    assert look(layout, MISSING, NOW + 12 * HOUR) is WITHDRAWN
    (erasure,) = ErasureProgress(layout).all()
    assert erasure.requested_at == NOW
    assert erasure.due_app == NOW + 24 * HOUR, "the 24 hours run from the first miss"


def test_c6_no_deletion_when_the_grant_comes_back(layout, ledger):
    look(layout, MISSING, NOW)
    look(layout, MISSING, NOW + HOUR)
    assert look(layout, PRESENT, NOW + 11 * HOUR) is GRANTED
    assert look(layout, MISSING, NOW + 13 * HOUR) is SUSPECT, "misses are counted anew"
    assert ErasureProgress(layout).all() == []


def test_c6_the_administrator_may_confirm_earlier(layout, ledger):
    look(layout, MISSING, NOW)
    look(layout, MISSING, NOW + HOUR)
    epoch = ledger.current().epoch
    assert ledger.withdraw(epoch, now=NOW + 2 * HOUR, source="cli", reason="withdrawn").requested_at == NOW + 2 * HOUR
    assert look(layout, PRESENT, NOW + 3 * HOUR) is WITHDRAWN, "an explicit withdrawal is not undone by the directory"


def test_c6_grant_mode_exchange_rbac_only_ever_suspects(layout, ledger):
    for hours in range(48):
        assert look(layout, MISSING, NOW + hours * HOUR, "exchange_rbac") is SUSPECT
    assert look(layout, PRESENT, NOW + 49 * HOUR, "exchange_rbac") is GRANTED


def test_c6_operational_faults_for_days_delete_nothing(layout, ledger):
    def storm() -> Confirmation:
        raise PipelineError("the secret has expired")

    for hours in range(72):
        assert watch_directory(layout, storm, NOW + hours * HOUR, grant_mode="entra", application="ours") is GRANTED
        assert look(layout, UNKNOWN, NOW + hours * HOUR) is GRANTED
    look(layout, MISSING, NOW + 72 * HOUR)
    for hours in range(73, 100):
        assert look(layout, UNKNOWN, NOW + hours * HOUR) is SUSPECT
    assert ErasureProgress(layout).all() == []


def test_c6_consent_cannot_be_given_over_a_directory_that_withholds_it(layout, ledger):
    look(layout, MISSING, NOW)
    look(layout, MISSING, NOW + HOUR)
    with pytest.raises(Refused, match="directory no longer shows"):
        ledger.provide("admin@contoso.example", now=NOW + 2 * HOUR)


def test_without_consent_there_is_nothing_to_watch(layout):
    assert watch_directory(layout, lambda: MISSING, NOW, grant_mode="entra", application="ours") is None


def test_c6_a_mistyped_application_is_an_operational_fault(layout, ledger):
    assert look(layout, PRESENT, NOW) is GRANTED
    for hours in range(1, 30):
        assert look(layout, MISSING, NOW + hours * HOUR, application="ouzo") is GRANTED
    assert look(layout, PRESENT, NOW + 30 * HOUR, application="our next one") is GRANTED
    assert look(layout, MISSING, NOW + 31 * HOUR, application="our next one") is SUSPECT


def test_c6_random_histories_agree_with_the_rule_written_out(tmp_path):
    """Oracle: after the last PRESENT, misses at m1 < m2 … make presumed at the first one 5 minutes past m1."""
    seed = 77
    rng = random.Random(seed)
    reached = set()
    for history in range(12):
        layout = Layout(tmp_path / str(history))
        ControlLedger(layout).provide("admin@contoso.example", now=NOW)
        at, first, presumed, ended = NOW, None, False, False
        for _ in range(20):
            at += rng.choice([2 * MINUTE, 6 * MINUTE, HOUR, 5 * HOUR])
            seen = rng.choices([PRESENT, MISSING, UNKNOWN], [0.2, 0.6, 0.2])[0]
            if seen is PRESENT and not ended:
                first, presumed = None, False
            elif seen is MISSING and not ended:
                presumed = presumed or (first is not None and at - first >= 5 * MINUTE)
                first = first or at
            ended = ended or (presumed and at - first >= 12 * HOUR)
            expected = WITHDRAWN if ended else PRESUMED if presumed else SUSPECT if first else GRANTED
            assert look(layout, seen, at) is expected, f"seed {seed}, history {history}"
            reached.add(expected)
    assert reached == {GRANTED, SUSPECT, PRESUMED, WITHDRAWN}
