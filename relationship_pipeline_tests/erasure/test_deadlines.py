"""Deadlines and alerts (W3): real 24 hours and 30 days whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.erasure import PROMISES, Alert, ErasureState, after, has_reached, requested
from relationship_pipeline.erasure.run import check_deadlines, erasure_status
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, consented

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def home(tmp_path):
    made = consented(tmp_path / "data")
    made.withdraw()
    return made


@pytest.mark.parametrize(
    ("waited", "alert"),
    [
        (59 * HOUR / 60, Alert.NONE),
        (HOUR, Alert.INFO),
        (6 * HOUR, Alert.WARNING),
        (12 * HOUR, Alert.PAGE),
        (20 * HOUR, Alert.PAGE_ALL),
        (24 * HOUR - timedelta(seconds=1), Alert.PAGE_ALL),
        (24 * HOUR, Alert.BREACH),
    ],
)
def test_w3_alerts_rise_until_the_apps_are_erased(home, waited, alert):
    assert check_deadlines(home.layout, NOW + waited) is alert
    status = erasure_status(home.layout, NOW + waited)
    assert status["overdue"] is (alert is Alert.BREACH)
    assert status["at_risk"] is (alert >= Alert.WARNING)


@pytest.mark.parametrize(
    ("waited", "alert"),
    [
        (6 * DAY, Alert.NONE),
        (7 * DAY, Alert.INFO),
        (21 * DAY, Alert.WARNING),
        (28 * DAY, Alert.PAGE),
        (30 * DAY - timedelta(seconds=1), Alert.PAGE),
        (30 * DAY, Alert.BREACH),
    ],
)
def test_w3_alerts_rise_until_the_backups_are_gone(home, waited, alert):
    from relationship_pipeline.erasure.progress import ErasureProgress

    ErasureProgress(home.layout).reach(home.epoch, ErasureState.BACKUPS_DUE, NOW, {})
    assert check_deadlines(home.layout, NOW + waited) is alert


def test_w3_a_clock_set_back_two_days_stretches_nothing(home):
    assert check_deadlines(home.layout, NOW + 13 * HOUR) is Alert.PAGE
    assert check_deadlines(home.layout, NOW - 2 * DAY) is Alert.PAGE
    assert check_deadlines(home.layout, NOW + 24 * HOUR) is Alert.BREACH


def test_w3_a_clock_forty_days_ahead_alarms_early_and_never_late(home):
    assert check_deadlines(home.layout, NOW + 40 * DAY) is Alert.BREACH
    assert check_deadlines(home.layout, NOW + HOUR) is Alert.BREACH


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 12), datetime(2026, 10, 24, 12), datetime(2028, 2, 28, 12)])
def test_w3_a_day_is_24_real_hours_over_summer_time_and_leap_days(tmp_path, day):
    local = day.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    home = consented(tmp_path / "data", now=local)
    erasure = ControlLedger(home.layout).withdraw(home.epoch, now=local.astimezone(UTC), source="cli", reason="x")
    assert erasure.due_app.timestamp() - local.timestamp() == 24 * 3600
    assert erasure.due_backup.timestamp() - local.timestamp() == 30 * 24 * 3600


def test_a_closed_deletion_is_quiet(home):
    from relationship_pipeline.erasure.progress import ErasureProgress

    ErasureProgress(home.layout).reach(home.epoch, ErasureState.CLOSED, NOW, {})
    assert check_deadlines(home.layout, NOW + 90 * DAY) is Alert.NONE


def test_every_state_says_what_it_promises_and_leads_to_the_next():
    assert set(PROMISES) == set(ErasureState)
    walked = [ErasureState.REQUESTED]
    while (state := after(walked[-1])) is not None:
        assert has_reached(state, walked[-1])
        walked.append(state)
    assert walked == list(ErasureState)
    assert requested("e", NOW, source="cli", reason=ADMIN.partition("@")[0]).state is ErasureState.REQUESTED
