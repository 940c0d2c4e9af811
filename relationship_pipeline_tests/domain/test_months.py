"""Months, windows and what a refresh must read (B1, B3, N5)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.domain import months as m

instants = st.datetimes(datetime(2000, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))


def test_b1_backfill_is_the_twelve_whole_months_before_the_month_of_consent() -> None:
    batches = m.backfill_months(datetime(2026, 11, 23, 9, tzinfo=UTC))
    assert batches == m.month_range("2025-11", "2026-10")
    assert len(batches) == 12


@given(instants)
def test_b1_always_twelve_batches_that_end_where_the_running_month_begins(now: datetime) -> None:
    batches = m.backfill_months(now)
    assert len(batches) == 12
    assert m.month_end(batches[-1]) == m.month_start(m.month_of(now)) <= now


@given(instants, st.integers(-400, 400))
def test_adding_months_can_be_undone(now: datetime, count: int) -> None:
    month = m.month_of(now)
    assert m.add_months(m.add_months(month, count), -count) == month


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-01", "2026-00", "", "2026-01-01"])
def test_what_is_not_a_month_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM"):
        m.parse_month(text)


def test_n5_window_starts_a_year_earlier_to_the_instant() -> None:
    assert m.one_year_before(datetime(2002, 2, 1, tzinfo=UTC)) == datetime(2001, 2, 1, tzinfo=UTC)
    assert m.one_year_before(datetime(2024, 2, 29, 5, tzinfo=UTC)) == datetime(2023, 2, 28, 5, tzinfo=UTC)


def test_n5_window_on_a_month_border_is_twelve_months_else_thirteen() -> None:
    assert m.window_months(datetime(2002, 2, 1, tzinfo=UTC)) == m.month_range("2001-02", "2002-01")
    assert m.window_months(datetime(2002, 2, 1, 0, 0, 1, tzinfo=UTC)) == m.month_range("2001-02", "2002-02")


def test_b3_the_running_month_is_always_due() -> None:
    assert m.months_due(datetime(2026, 11, 23, 2, tzinfo=UTC), {}, "2025-11") == ["2026-11"]


def test_b3_the_month_before_is_closed_in_its_grace_days() -> None:
    landed = {"2026-10": datetime(2026, 10, 31, 2, tzinfo=UTC)}
    assert m.months_due(datetime(2026, 11, 1, 2, tzinfo=UTC), landed, "2025-11") == ["2026-10", "2026-11"]


def test_b3_a_machine_that_slept_over_the_turn_of_the_month_still_closes_it() -> None:
    landed = {"2026-09": datetime(2026, 9, 28, 2, tzinfo=UTC)}
    due = m.months_due(datetime(2026, 11, 20, 2, tzinfo=UTC), landed, "2025-11")
    assert due == ["2026-09", "2026-10", "2026-11"]


def test_31_closed_months_are_due_again_once_a_week_where_the_source_must_be_asked() -> None:
    now = datetime(2026, 11, 23, 2, tzinfo=UTC)
    landed = {month: now - timedelta(days=7) for month in m.month_range("2025-11", "2026-10")}
    assert m.months_due(now, landed, "2025-11") == ["2026-11"]
    assert m.months_due(now, landed, "2025-11", search_every=m.SEARCH_EVERY) == m.month_range("2025-11", "2026-11")
    day_before = now - timedelta(days=1)
    assert m.months_due(day_before, landed, "2025-11", search_every=m.SEARCH_EVERY) == ["2026-11"]


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC)), st.sets(st.integers(0, 500)))
def test_b3_no_month_stays_unsettled_whatever_ticks_are_missed(start: datetime, missed: set[int]) -> None:
    """Daily ticks over 500 days, any of them missed: once a tick runs after a month's grace, that month is settled."""
    landed: dict[str, datetime] = {}
    first = m.month_of(start)
    for day in range(501):
        now = start + timedelta(days=day)
        if day in missed:
            continue
        for month in m.months_due(now, landed, first):
            landed[month] = now
        for month in m.month_range(first, m.add_months(m.month_of(now), -1)):
            if now - m.month_end(month) < timedelta(days=300):
                settled = landed.get(month)
                over = now >= m.month_end(month) + m.GRACE
                assert not over or settled is None or settled >= m.month_end(month) + m.GRACE
