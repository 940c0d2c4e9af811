"""Relationship health (product.md 7)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.domain.health import (
    COMPONENTS,
    DEFAULT_CONSTANTS,
    HealthInputs,
    expected_activity,
    points,
    shares,
    state,
    trend,
)
from relationship_pipeline.settings import HealthSettings

MAXIMA = {"activity": 30, "recency": 30, "engagement": 20, "responsiveness": 20}


def test_the_worked_example_of_the_docs():
    """docs/scores.md: weekly contact, 10 days silent, 12 out and 8 back, we answered 6 of 8 in 12 hours."""
    inputs = HealthInputs(
        activity=3.0,
        days_since_last=10,
        ours=12,
        theirs=8,
        answered_by_us=6,
        asked_by_them=8,
        hours_by_us=12.0,
        answered_by_them=5,
        asked_by_us=12,
        hours_by_them=20.0,
    )
    found = shares(inputs, cadence_days=7)
    assert {name: round(value, 3) for name, value in found.items()} == {
        "activity": 0.534,
        "recency": 0.862,
        "engagement": 0.8,
        "responsiveness": 0.506,
    }
    assert points(found, MAXIMA) == {"activity": 16, "recency": 26, "engagement": 16, "responsiveness": 10}
    assert state(68, 60, 40) == "good"


@pytest.mark.parametrize(
    ("score", "expected"), [(60, "good"), (59, "fair"), (40, "fair"), (39, "poor"), (None, "not_enough_info")]
)
def test_states_change_at_their_thresholds(score, expected):
    assert state(score, good_from=60, fair_from=40) == expected


def test_good_from_50_makes_fair_end_at_49():
    settings = HealthSettings(good_from=50)
    assert state(50, settings.good_from, settings.fair_from) == "good"
    assert state(49, settings.good_from, settings.fair_from) == "fair"


def test_maxima_that_do_not_sum_to_100_are_refused():
    with pytest.raises(ValueError, match="sum to 100"):
        HealthSettings(max_activity=40)


@given(
    st.builds(
        HealthInputs,
        activity=st.floats(0, 1e4),
        days_since_last=st.floats(0, 366),
        ours=st.floats(0, 1e4),
        theirs=st.floats(0, 1e4),
        answered_by_us=st.integers(0, 50),
        asked_by_them=st.integers(50, 90),
        hours_by_us=st.floats(0, 168),
        answered_by_them=st.integers(0, 50),
        asked_by_us=st.integers(50, 90),
        hours_by_them=st.floats(0, 168),
    ),
    st.sampled_from([1, 3, 7, 14, 30]),
)
def test_points_sum_to_the_score_and_stay_below_their_maxima(inputs, cadence):
    found = shares(inputs, cadence)
    given_points = points(found, MAXIMA)
    total = math.fsum(found[name] * MAXIMA[name] for name in COMPONENTS)
    assert sum(given_points.values()) == math.floor(total + 0.5)
    assert all(0 <= given_points[name] <= MAXIMA[name] for name in COMPONENTS)


def test_activity_at_the_expected_cadence_is_full():
    for cadence in (1, 3, 7, 14, 30):
        inputs = HealthInputs(activity=expected_activity(cadence), days_since_last=0, ours=1, theirs=1)
        assert shares(inputs, cadence)["activity"] == 1.0


@pytest.mark.parametrize(
    ("recent", "base", "silent", "expected"),
    [
        (8, 8, 1, "improving"),
        (4, 16, 1, "steady"),
        (0, 24, 14, "declining"),
        (0, 24, 3, "steady"),
        (0, 1, 30, "steady"),
    ],
)
def test_trends_are_slow_on_purpose(recent, base, silent, expected):
    assert trend(recent, base, silent, usual_gap=7, k=DEFAULT_CONSTANTS) == expected
