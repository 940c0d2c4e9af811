"""O1's interval rule against an oracle that is slow and obvious: it looks at every snapshot for every instant."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from relationship_pipeline.domain.optout import (
    ALWAYS,
    DEFAULT_SCOPES,
    EVERYWHERE,
    Interval,
    Kind,
    Mode,
    OptOut,
    Scope,
    complement,
    default_mode,
    default_scopes,
    membership,
    parse_scopes,
    scopes_text,
    standing,
)

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + 200 * DAY


def may_collect(received_at: datetime, collectable: Iterable[Interval]) -> bool:
    return any(received_at in interval for interval in collectable)


def group(since: datetime | None = None, mode: Mode = Mode.FUTURE_ONLY) -> OptOut:
    return OptOut(Kind.GROUP, "mergers", DEFAULT_SCOPES, mode, made_at=START, since=since)


def test_o1_amber_moves_to_mergers_mail_before_the_move_stays_collectable_only_while_she_is_not_a_member():
    moved = membership([(START, False), (START + 10 * DAY, False), (START + 20 * DAY, True)])
    assert moved == [Interval(START + 10 * DAY, None)], "the move lies after the last snapshot without her"
    assert standing([(group(), moved)], NOW).collectable == ()

    back = membership([(START + 10 * DAY, False), (START + 20 * DAY, True), (START + 30 * DAY, False)])
    collectable = standing([(group(), back)], NOW).collectable
    assert may_collect(START + 10 * DAY - timedelta(seconds=1), collectable)
    assert not may_collect(START + 10 * DAY, collectable)
    assert not may_collect(START + 30 * DAY - timedelta(seconds=1), collectable)
    assert may_collect(START + 30 * DAY, collectable)


def test_o1_a_member_in_the_very_first_snapshot_counts_as_a_member_since_ever():
    assert membership([(START, True)]) == [ALWAYS]


def test_o2_a_hand_opt_out_stops_reading_and_makes_erasure_due():
    by_hand = OptOut(Kind.USER, "amber@contoso.example", DEFAULT_SCOPES, Mode.ERASE, made_at=START)
    amber = standing([(by_hand, [ALWAYS])], NOW)
    assert not amber.may_be_read
    assert not amber.may_introduce
    assert not amber.hidden
    assert amber.erase_due


def test_o2_an_opt_out_that_starts_later_holds_from_then():
    later = OptOut(Kind.USER, "a@contoso.example", DEFAULT_SCOPES, Mode.ERASE, made_at=START, since=NOW + DAY)
    assert standing([(later, [ALWAYS])], NOW).may_be_read
    assert not standing([(later, [ALWAYS])], NOW + DAY).may_be_read


def test_o2_mail_received_while_somebody_was_opted_out_is_not_collected_after_the_opt_in():
    ended = OptOut(Kind.USER, "a@b.example", DEFAULT_SCOPES, Mode.ERASE, START, ended_at=START + 5 * DAY)
    after = standing([(ended, [ALWAYS])], NOW)
    assert after.may_be_read
    assert not after.erase_due
    assert after.collectable == (Interval(None, START), Interval(START + 5 * DAY, None))


@pytest.mark.parametrize(
    ("scopes", "read", "introduce", "hidden"),
    [
        (frozenset({Scope.MAILBOX}), False, True, False),
        (frozenset({Scope.INTRODUCER}), True, False, False),
        (DEFAULT_SCOPES, False, False, False),
        (EVERYWHERE, False, False, True),
    ],
)
def test_o4_each_scope_does_its_part_and_no_more(scopes, read, introduce, hidden):
    entry = OptOut(Kind.USER, "a@b.example", scopes, Mode.ERASE, made_at=START)
    found = standing([(entry, [ALWAYS])], NOW)
    assert (found.may_be_read, found.may_introduce, found.hidden) == (read, introduce, hidden)


def test_o4_defaults_mailbox_and_introducer_for_people_forward_only_for_groups():
    assert default_scopes(Kind.USER) == default_scopes(Kind.GROUP) == DEFAULT_SCOPES
    assert default_mode(Kind.GROUP) is Mode.FUTURE_ONLY
    assert default_mode(Kind.USER) is Mode.ERASE
    assert standing([(group(mode=Mode.ERASE), [ALWAYS])], NOW).erase_due
    assert not standing([(group(), [ALWAYS])], NOW).erase_due


def test_o5_an_excluded_address_or_domain_is_left_out_everywhere():
    assert default_scopes(Kind.DOMAIN) == default_scopes(Kind.ADDRESS) == EVERYWHERE


def test_scopes_are_read_back_as_written_and_others_refused():
    for kind in Kind:
        assert parse_scopes(scopes_text(default_scopes(kind)), kind) == default_scopes(kind)
    with pytest.raises(ValueError, match="choose mailbox"):
        parse_scopes("region", Kind.USER)


def oracle_is_member(snapshots: list[tuple[datetime, bool]], instant: datetime) -> bool:
    """Shown by the snapshot before or after the instant, with no snapshot without them in between."""
    before = [shown for taken_at, shown in snapshots if taken_at <= instant]
    after = [shown for taken_at, shown in snapshots if taken_at > instant]
    if before and before[-1]:
        return True
    return bool(after and after[0])


def test_o1_a_thousand_random_histories_of_two_groups_agree_with_the_oracle():
    seed = 20261123
    rng = random.Random(seed)
    hits = {"collectable": 0, "blocked": 0, "out_now": 0}
    for history in range(1000):
        groups = []
        for _ in range(rng.choice([1, 1, 2])):
            times = sorted(rng.sample(range(200), rng.randint(1, 8)))
            shown = [(START + day * DAY, rng.random() < 0.4) for day in times]
            since = START + rng.randrange(200) * DAY if rng.random() < 0.3 else None
            groups.append((group(since), shown))
        found = standing([(entry, membership(shown)) for entry, shown in groups], NOW)
        out_now = any(shown[-1][1] for _, shown in groups)
        for instant in [START + rng.uniform(-20, 220) * DAY for _ in range(20)] + [t for _, s in groups for t, _ in s]:
            was_out = any(
                oracle_is_member(shown, instant) and (entry.since is None or entry.since <= instant)
                for entry, shown in groups
            )
            expected = not out_now and not was_out
            assert may_collect(instant, found.collectable) is expected, f"seed {seed}, history {history}, {instant}"
            hits["out_now" if out_now else "blocked" if was_out else "collectable"] += 1
    assert min(hits.values()) > 1000, hits


def test_complement_of_random_intervals_holds_exactly_the_instants_in_none_of_them():
    rng = random.Random(7)
    for _ in range(500):
        blocked = []
        for _ in range(rng.randint(0, 5)):
            low, high = sorted(rng.sample(range(30), 2))
            blocked.append(
                Interval(
                    None if rng.random() < 0.1 else START + low * DAY,
                    None if rng.random() < 0.1 else START + high * DAY,
                )
            )
        free = complement(blocked)
        for day in range(-1, 32):
            instant = START + day * DAY
            assert may_collect(instant, free) is not any(instant in interval for interval in blocked)
        assert all(a.end is not None and b.start is not None and a.end < b.start for a, b in zip(free, free[1:]))  # noqa: B905, RUF007
