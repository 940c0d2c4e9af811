"""Meetings of a stream: single ones, made in the third in which they were arranged, and recurring series.

A `Meeting` is what happened; each member's calendar holds a copy of it (see shapes.py). Series are never stored: an
occurrence is arithmetic on the series, and a hash decides whether it was moved, cancelled or skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from relationship_pipeline.simulator.hashing import mix, poisson, stream_of_chance, unit
from relationship_pipeline.simulator.people import TEAM_SIZE, Recipient
from relationship_pipeline.simulator.streams import Stream, Streams
from relationship_pipeline.simulator.times import DAY, HOUR, MINUTE, MONTH_DAYS, third_bounds, third_of

LONGEST_LEAD_DAYS = 30
_MESSAGES_PER_MEETING = 2.6  # an invitation and about 1.6 answers


@dataclass(frozen=True, slots=True)
class Attendee:
    person: Recipient
    kind: str  # required, optional, resource
    response: str  # none, accepted, tentativelyAccepted, declined, notResponded
    responded: int


@dataclass(frozen=True, slots=True)
class Meeting:
    """One meeting at one time. `uid` is shared by all copies, `series` is 0 for single meetings."""

    uid: int
    series: int
    kind: str  # singleInstance, occurrence, exception
    members: tuple[int, ...]  # whose calendars hold it
    organizer: Recipient
    attendees: tuple[Attendee, ...]
    start: int
    end: int
    original_start: int
    all_day: bool
    cancelled: bool
    private: bool
    online: bool
    created: int
    modified: int


class Meetings:
    """Makes the meetings of streams, as a pure function of stream and time."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.people = streams.people
        self.realism = streams.people.scenario.realism
        # Asked for by the mail of a third and by the calendars of the month after it.
        self.arranged = lru_cache(maxsize=65536)(self._arranged)
        self.rooms = [user.index for user in self.people.users if user.kind == "room"]

    def room_of(self, team: int) -> int:
        """The room that a team books: each has its own, so that a room's calendar asks few teams."""
        return self.rooms[team % len(self.rooms)]

    def _arranged(self, stream: Stream, third: int) -> tuple[Meeting, ...]:
        """Single meetings whose invitation went out in this third."""
        if stream.kind not in ("client", "internal", "team"):
            return ()
        rng = stream_of_chance(mix(stream.key ^ (third * 8 + 5)))
        start, end = third_bounds(third)
        share = (end - start) / DAY / MONTH_DAYS
        # Meetings are as frequent as the share of meeting messages asks for; a tenant without them still meets.
        per_message = (self.realism.meeting_messages or 0.05) / _MESSAGES_PER_MEETING
        found = []
        for _ in range(poisson(rng, stream.rate * share * per_message)):
            uid = rng.getrandbits(64)
            created = _working_time(start + int((end - start) * rng.random()), rng.random())
            if created < start:  # moved off a weekend into the third before: the same hour of our first day
                created = start + created % DAY
            lead = DAY * (1 + int(rng.random() * 9) if rng.random() < 0.85 else 10 + int(rng.random() * 19))
            begin = _half_hour(_working_time(created + lead, rng.random()))
            minutes = (30, 30, 60, 60, 45, 90)[int(rng.random() * 6)]
            parties = self._parties(stream, third, rng.random(), uid)
            if parties is None:
                continue
            organizer, invited = parties
            all_day = unit(mix(uid)) < self.realism.all_day_meetings
            if all_day:
                begin = begin // DAY * DAY
            finish = begin + (DAY if all_day else minutes * MINUTE)
            cancelled = unit(mix(uid ^ 2)) < self.realism.meeting_cancellations
            # A weekend or a whole day may put the start before the invitation; what follows it never is.
            modified = created + (max(HOUR, (begin - created) // 2) if cancelled else HOUR)
            found.append(
                Meeting(uid, 0, "singleInstance", stream.members, organizer, self._answers(invited, uid, created),
                        begin, finish, begin, all_day, cancelled, self._private(uid), uid & 3 != 0, created, modified)
            )  # fmt: skip
        return tuple(found)

    def starting(self, stream: Stream, start: int, end: int) -> Iterator[Meeting]:
        """Meetings of the stream that start in [start, end), cancelled ones included."""
        for third in range(third_of(start - LONGEST_LEAD_DAYS * DAY), third_of(end) + 1):
            for meeting in self.arranged(stream, third):
                if start <= meeting.start < end:
                    yield meeting
        if self.realism.recurring_meetings:
            for number in range(2 if stream.kind == "client" else 1):
                yield from self._occurrences(stream, number, start, end)

    def _occurrences(self, stream: Stream, number: int, start: int, end: int) -> Iterator[Meeting]:
        series = mix(stream.key ^ (number + 4711))
        likely = {"team": 0.9, "internal": 0.25, "client": 0.3 if len(stream.members) == 1 else 0.06}.get(
            stream.kind, 0.0
        )
        if unit(series) >= likely:
            return
        relation = None
        if stream.kind == "client":
            relations = self.streams.relations(stream.owner)
            if number >= len(relations):
                return
            relation = relations[number]
        weeks = {"team": 1, "internal": 2}.get(stream.kind, (1, 2, 2, 4)[series & 3])
        period = weeks * 7 * DAY
        weekday, hour = series // 7 % 5, 8 + series // 64 % 9
        # A Monday some weeks before the window, so that the first occurrence does not fall on its first day.
        monday = (self.streams.start // DAY - 3) // 7 * 7 * DAY - 3 * DAY - period * (series >> 50 & 7)
        first = monday + weekday * DAY + hour * HOUR + (series >> 40 & 1) * 30 * MINUTE
        length = (30, 60, 45)[series >> 30 & 1] * MINUTE
        lowest = max(0, (start - first) // period - 1)
        highest = (end - first) // period + 1
        for ordinal in range(lowest, highest + 1):
            regular = first + ordinal * period
            uid = mix(series ^ mix(ordinal))
            chance = unit(mix(uid))
            moved = chance < self.realism.meeting_exceptions
            begin = regular + (DAY if regular // DAY % 7 != 1 else HOUR) if moved else regular
            if not start <= begin < end or (chance > 0.97 and self.realism.meeting_exceptions):
                continue
            if relation and not self.streams.active(relation, begin):
                continue
            contact = (relation.company, relation.place) if relation else None
            parties = self._parties(stream, third_of(begin), 0.0, series, contact)
            if parties is None:
                continue
            organizer, invited = parties
            cancelled = unit(mix(uid ^ 2)) < self.realism.meeting_cancellations
            created = first - 5 * DAY
            modified = begin - DAY if moved or cancelled else created
            yield Meeting(
                uid, series, "exception" if moved else "occurrence", stream.members, organizer,
                self._answers(invited, uid, created), begin, begin + length, regular, False, cancelled,
                self._private(series), True, created, modified,
            )  # fmt: skip

    def _private(self, chance: int) -> bool:
        return unit(mix(chance ^ 3)) < self.realism.private_meetings

    def _parties(
        self, stream: Stream, third: int, chance: float, uid: int, contact: tuple[int, int] | None = None
    ) -> tuple[Recipient, list[tuple[Recipient, str]]] | None:
        """Organizer and invited people with their kind; None where a client stream has no live relation left."""
        colleagues = [self.people.internal(index) for index in stream.members]
        if stream.kind == "client":
            if contact is None:
                relation = self.streams.choose(stream.owner, third, chance)
                if relation is None:
                    return None
                contact = (relation.company, relation.place)
            outside = [self.people.outside(*contact)]
            if uid >> 20 & 3 == 0:
                size = self.people.company(contact[0]).size
                other = self.people.outside(contact[0], (contact[1] + 1 + uid % max(1, size - 1)) % size)
                outside += [other] if other.canonical != outside[0].canonical else []
            if uid >> 24 & 7 < 5:
                organizer, invited = colleagues[0], [*colleagues[1:], *outside]
            else:
                organizer, invited = outside[0], [*colleagues, *outside[1:]]
        else:
            lead = uid % len(colleagues)
            organizer, invited = colleagues[lead], colleagues[:lead] + colleagues[lead + 1 :]
        kinds = [(person, "optional" if place > 1 and uid >> place & 7 == 0 else "required")
                 for place, person in enumerate(invited)]  # fmt: skip
        if self.rooms and stream.kind != "client" and uid >> 28 & 3 == 0:
            room = self.room_of(stream.owner // TEAM_SIZE)
            kinds.append((self.people.internal(room), "resource"))
        return organizer, kinds

    def _answers(self, invited: list[tuple[Recipient, str]], uid: int, created: int) -> tuple[Attendee, ...]:
        attendees = []
        declined = self.realism.declined_answers
        for place, (person, kind) in enumerate(invited):
            chance = unit(mix(uid ^ (place + 11)))
            if kind == "resource" or chance < 0.72 - declined:
                response = "accepted"
            elif chance < 0.72:
                response = "declined"
            else:
                response = "tentativelyAccepted" if chance < 0.82 else "none"
            responded = created + 600 + int(chance * 40 * HOUR) if response != "none" else 0
            attendees.append(Attendee(person, kind, response, responded))
        return tuple(attendees)


def _working_time(second: int, chance: float) -> int:
    """The same day moved off the weekend, at an hour people work, mostly."""
    day = second // DAY
    weekday = (day + 3) % 7
    if weekday > 4 and chance < 0.93:
        day -= weekday - 4
    return day * DAY + int((7.5 + 10.5 * chance) * HOUR)


def _half_hour(second: int) -> int:
    return second // (30 * MINUTE) * 30 * MINUTE


def windows_date(uid_date: int) -> str:
    """Year, month and day as the eight hexadecimal digits that stand in an iCalUId."""
    day = datetime.fromtimestamp(uid_date, UTC)
    return f"{day.year:04X}{day.month:02X}{day.day:02X}"
