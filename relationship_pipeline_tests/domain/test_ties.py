"""Strength of a tie: the properties of product.md K1-K3, and its arithmetic against the DuckDB macros."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.domain.ties import (
    DEFAULT_CONSTANTS,
    Band,
    Evidence,
    Interaction,
    Kind,
    ScaleSums,
    TieConstants,
    TieSums,
    audience_weight,
    band,
    displayed_strength,
    points,
    reasons,
    score,
    score_parts,
    strength,
    tie_sums,
)

AS_OF = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
YEAR = timedelta(days=365)
NOISE = 1e-9

instants = st.datetimes(
    min_value=(AS_OF - YEAR).replace(tzinfo=None),
    max_value=(AS_OF - timedelta(seconds=1)).replace(tzinfo=None),
    timezones=st.just(UTC),
)
interactions = st.builds(
    Interaction, at=instants, kind=st.sampled_from(Kind), audience=st.integers(min_value=1, max_value=60)
)
histories = st.lists(interactions, max_size=25)


def score_at(history: list[Interaction], as_of: datetime = AS_OF) -> float:
    sums = tie_sums(history, as_of)
    return 0.0 if sums is None else score(sums)


def email(days_ago: float, kind: Kind = Kind.OUTWARD, audience: int = 1) -> Interaction:
    return Interaction(AS_OF - timedelta(days=days_ago), kind, audience)


@given(histories, interactions)
def test_k3_a_further_message_or_meeting_never_lowers_a_tie(history: list[Interaction], further: Interaction) -> None:
    assert score_at([*history, further]) >= score_at(history) - NOISE


@given(histories.filter(bool), st.floats(min_value=0.01, max_value=100))
def test_k3_a_tie_weakens_with_every_bit_of_silence(history: list[Interaction], days: float) -> None:
    before, after = score_at(history), score_at(history, AS_OF + timedelta(days=days))
    assert after < before or before == after == 0.0


@given(histories, histories)
def test_k8_nothing_from_as_of_on_takes_part(history: list[Interaction], later: list[Interaction]) -> None:
    shifted = [dataclasses.replace(item, at=item.at + YEAR) for item in later]
    assert score_at([*history, *shifted]) == score_at(history)


@given(st.lists(st.floats(min_value=0, max_value=200), min_size=2))
def test_k3_the_map_is_fixed_and_keeps_the_order(scores: list[float]) -> None:
    strengths = [strength(value) for value in sorted(scores)]
    assert strengths == sorted(strengths)
    assert all(0 <= value <= 100 for value in strengths)


@given(histories)
def test_k3_the_sums_of_months_add_up_to_the_whole(history: list[Interaction]) -> None:
    """What lets twelve monthly tables stand for a year of messages."""
    whole = tie_sums(history, AS_OF)
    by_month: dict[tuple[int, int], list[Interaction]] = {}
    for item in history:
        by_month.setdefault((item.at.year, item.at.month), []).append(item)
    monthly = []
    for year, month in by_month:
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if sums := tie_sums(by_month[year, month], end):
            monthly.append((end, sums))
    if whole is None:
        assert not monthly
        return
    for number, half_life in enumerate(DEFAULT_CONSTANTS.half_lives_days):
        for name in ("outward", "inward", "meetings", "days"):
            added = sum(
                getattr(sums.scales[number], name) * 0.5 ** ((AS_OF - end) / timedelta(days=half_life))
                for end, sums in monthly
            )
            assert added == pytest.approx(getattr(whole.scales[number], name), abs=NOISE)
    assert whole.months == len(monthly)
    assert whole.last_contact_age_days == pytest.approx(
        min(sums.last_contact_age_days + (AS_OF - end) / timedelta(days=1) for end, sums in monthly)
    )


@given(histories.filter(bool))
def test_k3_parts_sum_to_the_score_and_points_to_the_strength(history: list[Interaction]) -> None:
    sums = tie_sums(history, AS_OF)
    if sums is None:
        return
    parts = score_parts(sums)
    assert min(parts.values()) >= 0
    assert math.fsum(parts.values()) == score(sums)
    shown = displayed_strength(score(sums))
    assert 1 <= shown <= 100
    shared = points(parts, shown)
    assert sum(shared.values()) == shown
    whole = math.fsum(parts.values())
    for name, value in parts.items():
        assert whole == 0 or abs(shared[name] - shown * value / whole) < 1


def test_k3_worked_example_of_the_documentation() -> None:
    """One mail each way ten days before, as that day began; docs/evaluate.md shows these numbers."""
    midnight = AS_OF.replace(hour=0, minute=0)
    sums = tie_sums(
        [Interaction(midnight - timedelta(days=10), kind) for kind in (Kind.OUTWARD, Kind.INWARD)], midnight
    )
    assert sums is not None
    recency = math.log(1 + 0.5 ** (10 / 4) / 0.1)
    scales = [math.log(1 + (2 + 1 + 3) * 0.5 ** (10 / h) / 0.1) for h in (7, 30, 90)]
    assert score_parts(sums) == pytest.approx(
        dict(
            zip(
                ("last_contact", "half_life_7", "half_life_30", "half_life_90", "months"),
                (recency, *scales, 0.0),
                strict=True,
            )
        )
    )
    assert score(sums) == pytest.approx(12.0853, abs=1e-4)
    assert displayed_strength(score(sums)) == 26


def test_k2_messages_to_many_count_less_and_to_more_than_fifty_not_at_all() -> None:
    assert [audience_weight(n) for n in (1, 4, 5, 8, 50, 51)] == [1, 1, 0.8, 0.5, 0.08, 0]
    assert score_at([email(5, audience=40)]) < score_at([email(5, audience=10)]) < score_at([email(5)])
    assert tie_sums([email(5, audience=51)], AS_OF) is None


def test_k2_the_same_mail_counts_more_when_both_write() -> None:
    one_sided = [email(3), email(13)]
    two_sided = [email(3), email(13, Kind.INWARD)]
    assert score_at(two_sided) > score_at(one_sided)


def test_a_meeting_counts_like_a_message_each_way() -> None:
    assert score_at([email(4, Kind.MEETING)]) == pytest.approx(score_at([email(4), email(4, Kind.INWARD)]))


def test_k1_bands_and_that_a_tie_is_never_shown_as_zero() -> None:
    assert [band(value) for value in (1, 39, 40, 69, 70, 100)] == [
        Band.WEAK,
        Band.WEAK,
        Band.MEDIUM,
        Band.MEDIUM,
        Band.STRONG,
        Band.STRONG,
    ]
    assert displayed_strength(score_at([email(364, audience=50)])) == 1


def test_points_are_shared_by_largest_remainder() -> None:
    assert points({"a": 1.0, "b": 1.0, "c": 1.0}, 100) == {"a": 34, "b": 33, "c": 33}
    assert points({"a": 0.0, "b": 0.0}, 1) == {"a": 1, "b": 0}
    assert points({"a": 2.9, "b": 0.1}, 3) == {"a": 3, "b": 0}


def test_reasons_are_plain_words() -> None:
    evidence = Evidence(12, 9, 1, 10, AS_OF - timedelta(days=3, hours=2))
    assert list(reasons(evidence, AS_OF)) == [
        "in touch 3 days ago",
        "12 emails out and 9 back",
        "1 meeting",
        "contact in 10 of 12 months",
    ]
    assert list(reasons(Evidence(0, 1, 0, 1, AS_OF), AS_OF)) == ["in touch today", "1 email in, none out"]
    assert list(reasons(Evidence(2, 0, 0, 1, AS_OF - timedelta(days=1)), AS_OF)) == [
        "in touch 1 day ago",
        "2 emails out, none back",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"floor": 0.0},
        {"reciprocity": -1.0},
        {"contact_day": math.nan},
        {"half_lives_days": (30.0, 7.0, 90.0)},
        {"largest_audience": 3},
        {"strong_from": 40},
    ],
)
def test_constants_that_would_break_a_property_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_from")[0]):
        TieConstants(**wrong)  # type: ignore[arg-type]


sums_strategy = st.builds(
    TieSums,
    scales=st.tuples(*[st.builds(ScaleSums, *[st.floats(min_value=0, max_value=1e4)] * 4)] * 3),
    last_contact_age_days=st.floats(min_value=0, max_value=366),
    months=st.integers(min_value=1, max_value=13),
)


@pytest.fixture(scope="module")
def macros() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute((files("relationship_pipeline.insights") / "tie_macros.sql").read_text(encoding="utf-8"))
        connection.execute("create table c as select $k as k", {"k": dataclasses.asdict(DEFAULT_CONSTANTS)})
        yield connection


@given(sums_strategy, st.integers(min_value=1, max_value=60))
def test_the_macros_in_duckdb_do_the_same_arithmetic(
    macros: duckdb.DuckDBPyConnection, sums: TieSums, audience: int
) -> None:
    scales = [value for scale in sums.scales for value in dataclasses.astuple(scale)]
    [row] = macros.execute(
        """
        select audience_weight(?, k), tie_strength(?, k), tie_last_contact_part(?, k), tie_scale_part(?, ?, ?, ?, k),
            tie_scale_part(?, ?, ?, ?, k), tie_scale_part(?, ?, ?, ?, k), tie_months_part(?, k)
        from c
        """,
        [audience, score(sums), sums.last_contact_age_days, *scales, sums.months],
    ).fetchall()
    assert row[0] == audience_weight(audience)
    assert row[1] == pytest.approx(strength(score(sums)))
    assert list(row[2:]) == pytest.approx(list(score_parts(sums).values()))
