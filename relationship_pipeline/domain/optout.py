"""Who may be read, and when: opt-outs, membership over time, and what is left to collect (O1-O6). Pure.

Intervals are half open, [start, end); a missing bound is open. Graph cannot tell past membership, so it is known from
snapshots only, and every doubt counts as membership.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an opt-out names."""

    USER = "user"
    GROUP = "group"
    DOMAIN = "domain"
    ADDRESS = "address"


class Scope(StrEnum):
    """O4. `mailbox`: their copies are not read. `introducer`: never shown as a colleague who can introduce.
    `everywhere`: both, and removed as sender or recipient from others' copies."""

    MAILBOX = "mailbox"
    INTRODUCER = "introducer"
    EVERYWHERE = "everywhere"


class Mode(StrEnum):
    """O1, O4: whether what was collected before stays."""

    FUTURE_ONLY = "future_only"
    ERASE = "erase"


DEFAULT_SCOPES = frozenset({Scope.MAILBOX, Scope.INTRODUCER})
EVERYWHERE = frozenset({Scope.EVERYWHERE})


def default_scopes(kind: Kind) -> frozenset[Scope]:
    """O4's default for people and groups; an excluded address or domain (O5, O6) has no mailbox to leave unread, so
    leaving it out everywhere is all that the word can mean."""
    return EVERYWHERE if kind in (Kind.DOMAIN, Kind.ADDRESS) else DEFAULT_SCOPES


def default_mode(kind: Kind) -> Mode:
    """O1: groups are forward only. O2: a person who opts out by hand is forgotten at once."""
    return Mode.FUTURE_ONLY if kind is Kind.GROUP else Mode.ERASE


@dataclass(frozen=True)
class Interval:
    """[start, end) with None for an open bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __contains__(self, instant: datetime) -> bool:
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


ALWAYS = Interval()


@dataclass(frozen=True)
class OptOut:
    """One entry. `subject` is an N1 address, a group id or a domain. `since`: in force from then; None for a group
    means for as long as someone is a member, for the others from `made_at`. `ended_at`: when it was taken back."""

    kind: Kind
    subject: str
    scopes: frozenset[Scope]
    mode: Mode
    made_at: datetime
    since: datetime | None = None
    ended_at: datetime | None = None
    source: str = "command"

    @property
    def in_force(self) -> Interval:
        start = self.since if self.kind is Kind.GROUP else self.since or self.made_at
        return Interval(start, self.ended_at)

    def is_active(self, now: datetime) -> bool:
        """Whether it holds now. An entry without `since` holds from the moment it stands, whatever clock asks."""
        return self.ended_at is None and (self.since is None or self.since <= now)


def membership(snapshots: Iterable[tuple[datetime, bool]]) -> list[Interval]:
    """When somebody counts as a member of a group: from the last snapshot that did not show them to the first that no
    longer does (O1). `snapshots`: (taken at, shown), in order of time. Shown by the very first: since ever."""
    intervals: list[Interval] = []
    last_not_shown: datetime | None = None
    start: datetime | None = None
    is_member = False
    for taken_at, shown in snapshots:
        if shown and not is_member:
            start, is_member = last_not_shown, True
        elif not shown:
            if is_member:
                intervals.append(Interval(start, taken_at))
                is_member = False
            last_not_shown = taken_at
    if is_member:
        intervals.append(Interval(start, None))
    return intervals


def overlap(one: Interval, other: Interval) -> Interval | None:
    """The instants in both, None when there is none."""
    starts = [bound for bound in (one.start, other.start) if bound is not None]
    ends = [bound for bound in (one.end, other.end) if bound is not None]
    start, end = max(starts, default=None), min(ends, default=None)
    return None if start is not None and end is not None and start >= end else Interval(start, end)


def complement(blocked: Iterable[Interval]) -> list[Interval]:
    """All instants in none of the intervals, as ordered, disjoint intervals that do not touch."""
    free: list[Interval] = []
    start: datetime | None = None
    ordered = sorted(blocked, key=lambda interval: (interval.start is not None, interval.start or 0))
    for position, interval in enumerate(ordered):
        if interval.start is not None and (position == 0 or (start is not None and start < interval.start)):
            free.append(Interval(start, interval.start))
        if interval.end is None:
            return free
        start = interval.end if start is None else max(start, interval.end)
    return [*free, Interval(start, None)]


@dataclass(frozen=True)
class Standing:
    """What the opt-outs say about one person at one moment. `collectable`: times of receipt that may be collected now
    (O1: empty while opted out now). `counted`: times at which the person was opted in, so that what was collected of
    them counts still (O1: what was collected before stays; N2); empty where existing data must go. `erase_due`: it must
    (O2, or a group whose mode is erase)."""

    collectable: tuple[Interval, ...]
    counted: tuple[Interval, ...]
    may_be_read: bool
    may_introduce: bool
    hidden: bool
    erase_due: bool


FREE = Standing((ALWAYS,), (ALWAYS,), may_be_read=True, may_introduce=True, hidden=False, erase_due=False)


def standing(
    entries: Sequence[tuple[OptOut, Sequence[Interval]]], now: datetime, consented_at: datetime | None = None
) -> Standing:
    """Weigh all entries that name one person.

    Each comes with the intervals in which it concerned them: their membership for a group, always for the rest. A
    group's newest snapshot counts as now, whatever clock `now` was read from. A group that was opted out after
    `consented_at` takes nothing from what counts before that; one that came with the consent holds for all time.
    """
    blocked: list[Interval] = []
    uncounted: list[Interval] = []
    scopes_now: set[Scope] = set()
    erase_due = False
    for entry, concerned in entries:
        stops_reading = bool(entry.scopes & {Scope.MAILBOX, Scope.EVERYWHERE})
        if stops_reading:
            blocked += [hit for interval in concerned if (hit := overlap(interval, entry.in_force))]
            in_force = _in_force_for_counts(entry, consented_at)
            uncounted += [hit for interval in concerned if (hit := overlap(interval, in_force))]
        is_member_now = any(interval.end is None or now in interval for interval in concerned)
        if is_member_now and entry.is_active(now):
            scopes_now |= entry.scopes
            erase_due |= stops_reading and entry.mode is Mode.ERASE
    hidden = Scope.EVERYWHERE in scopes_now
    out_now = hidden or Scope.MAILBOX in scopes_now
    return Standing(
        collectable=() if out_now else tuple(complement(blocked)),
        counted=() if hidden or erase_due else tuple(complement(uncounted)),
        may_be_read=not out_now,
        may_introduce=not hidden and Scope.INTRODUCER not in scopes_now,
        hidden=hidden,
        erase_due=erase_due,
    )


def _in_force_for_counts(entry: OptOut, consented_at: datetime | None) -> Interval:
    later = consented_at is not None and entry.made_at > consented_at
    if entry.kind is Kind.GROUP and entry.since is None and later:
        return Interval(entry.made_at, entry.ended_at)
    return entry.in_force


def parse_scopes(text: str | None, kind: Kind) -> frozenset[Scope]:
    """`mailbox`, `introducer`, `everywhere`, several joined by `+` or `,`. Raises ValueError that says the choices."""
    if not text:
        return default_scopes(kind)
    try:
        scopes = frozenset(Scope(part.strip()) for part in text.replace(",", "+").split("+"))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a scope; choose mailbox, introducer, mailbox+introducer or everywhere"
        ) from None
    return EVERYWHERE if Scope.EVERYWHERE in scopes else scopes


def scopes_text(scopes: AbstractSet[Scope]) -> str:
    """The form that `parse_scopes` reads."""
    return "+".join(scope.value for scope in Scope if scope in scopes)
