"""Streams: what a mailbox is made of.

A *stream* is a source of conversations whose messages lie in the mailboxes of all its members. Each mailbox knows the
streams it belongs to, so a message with copies in several mailboxes is found from each of them, and nothing is stored:

- `client`: one colleague's outside relations, alone or with a teammate who is on every message
- `internal`: two teammates; `team`: a whole team; `company`: everybody; `bulk`: newsletters to one mailbox
- `flood`: the extra mail of one giant mailbox, single messages made day by day

Rates are message copies per member and month.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from functools import cached_property, lru_cache

from relationship_pipeline.simulator.hashing import mix, seed_of, stream_of_chance, unit
from relationship_pipeline.simulator.people import TEAM_SIZE, People
from relationship_pipeline.simulator.times import third_bounds

_PAIR_SHARE = 0.35  # of the quieter teammate's mail, over all teammates
_CLIENT_PART = 0.28  # of a pair's mail, for each of the two owners
_TEAM_SHARE = 0.06
_BULK_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Stream:
    kind: str
    members: tuple[int, ...]
    rate: float
    key: int

    @property
    def owner(self) -> int:
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Relation:
    """One colleague's relation to one contact: `weight` at full strength, and how it changes over the window."""

    company: int
    place: int
    weight: float
    course: str  # steady, growing, declining, lapsed, new, seasonal
    turn: float  # where in the window (0-1) a lapsed one ends or a new one begins
    ours: float  # share of conversations that we begin
    our_hours: float  # median hours until we answer, and until they do
    their_hours: float
    answers: float  # share of their messages that we answer

    def strength(self, position: float) -> float:
        """Activity at a position in the window: 1 is the full weight."""
        if self.course == "growing":
            return 0.25 + 1.5 * position
        if self.course == "declining":
            return max(0.04, 1.7 - 1.7 * position)
        if self.course == "lapsed":
            return 1.3 if position < self.turn else 0.0
        if self.course == "new":
            return 1.6 if position >= 1 - self.turn else 0.0
        if self.course == "seasonal":
            return 2.2 if int(position * 12) % 4 == int(self.turn * 4) else 0.25
        return 1.0


_COURSES = ("steady",) * 9 + ("growing",) * 3 + ("declining",) * 3 + ("lapsed",) * 4 + ("new",) * 2 + ("seasonal",)


class Streams:
    """The streams and relations of a tenant's people."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.seed = seed_of("streams", people.scenario.seed)
        self.start, self.end = people.scenario.window
        self.of_mailbox = lru_cache(maxsize=32768)(self._of_mailbox)
        self.relations = lru_cache(maxsize=32768)(self._relations)
        self.choices = lru_cache(maxsize=65536)(self._choices)

    @cached_property
    def busiest(self) -> int:
        """The member with most mail, who gets the giant mailbox if there is one."""
        return max(self.people.members, key=lambda index: self.people.users[index].activity)

    def _stream(self, kind: str, members: tuple[int, ...], rate: float) -> Stream:
        return Stream(kind, members, rate, mix(self.seed ^ seed_of(kind, *members[:2], len(members))))

    def _pair(self, first: int, second: int) -> float:
        users = self.people.users
        mates = len(self.people.team(first)) - 1
        return _PAIR_SHARE * min(users[first].activity, users[second].activity) / mates if mates else 0.0

    def team_stream(self, team: int) -> Stream | None:
        members = tuple(self.people.team(team * TEAM_SIZE))
        if len(members) < 3:
            return None
        rate = _TEAM_SHARE * min(self.people.users[index].activity for index in members)
        return self._stream("team", members, rate)

    @cached_property
    def company_stream(self) -> Stream:
        return self._stream("company", tuple(self.people.members), 0.0)

    def _of_mailbox(self, index: int) -> tuple[Stream, ...]:
        user = self.people.users[index]
        if user.kind == "room" or not user.has_mailbox:
            return ()
        found = []
        for mate in self.people.team(index):
            if mate != index:
                rate = self._pair(index, mate)
                low, high = min(index, mate), max(index, mate)
                found.append(self._stream("internal", (low, high), rate * (1 - 2 * _CLIENT_PART)))
                found.append(self._stream("client", (index, mate), rate * _CLIENT_PART))
                found.append(self._stream("client", (mate, index), rate * _CLIENT_PART))
        if index in self.people.members:
            team = self.team_stream(index // TEAM_SIZE)
            found += [team] if team else []
            found.append(self.company_stream)
        found.append(self._stream("bulk", (index,), user.activity * _BULK_SHARE))
        rest = user.activity - sum(stream.rate for stream in found)
        found.append(self._stream("client", (index,), max(rest, user.activity * 0.2)))
        return tuple(found)

    def flood(self, index: int) -> Stream | None:
        """The extra mail of the giant mailbox, None for all others."""
        giant = self.people.scenario.realism.giant_mailbox
        return self._stream("flood", (index,), float(giant)) if giant and index == self.busiest else None

    def all(self) -> list[Stream]:
        """Every stream of the tenant once, in a fixed order."""
        seen: dict[int, Stream] = {}
        for user in self.people.users:
            for stream in self.of_mailbox(user.index):
                seen.setdefault(stream.key, stream)
        return list(seen.values())

    def _relations(self, index: int) -> tuple[Relation, ...]:
        """A colleague's contacts, strongest first: mostly from the companies that the team looks after."""
        people = self.people
        user = people.users[index]
        rng = stream_of_chance(mix(self.seed ^ mix(index + 9001)))
        count = min(60, 6 + int(user.activity / 18))
        patch = index // TEAM_SIZE
        territory = [mix(self.seed ^ (patch * 64 + n)) % people.companies for n in range(10)]
        found: dict[tuple[int, int], Relation] = {}
        for rank in range(count):
            if rng.random() < 0.8:
                company = territory[int(len(territory) * rng.random() ** 2)]
            else:
                company = int(people.companies * rng.random())
            place = int(people.company(company).size * rng.random() ** 2.2)
            course = _COURSES[int(rng.random() * len(_COURSES))]
            found.setdefault((company, place), Relation(
                company, place, 1.0 / (rank + 1) ** 0.9, course, 0.15 + 0.75 * rng.random(),
                0.25 + 0.5 * rng.random(), rng.lognormvariate(1.2, 0.7), rng.lognormvariate(1.7, 0.9),
                0.55 + 0.43 * rng.random(),
            ))  # fmt: skip
        return tuple(found.values())

    def position(self, second: int) -> float:
        """Where in the window a moment lies: 0 at its start, 1 at its end."""
        return min(1.0, max(0.0, (second - self.start) / max(1, self.end - self.start)))

    def _choices(self, index: int, third: int) -> tuple[list[float], float]:
        """Running sums of a colleague's relation weights in this third, and how busy that is against the full sum."""
        start, end = third_bounds(third)
        position = self.position((start + end) // 2)
        sums: list[float] = []
        total = full = 0.0
        for relation in self.relations(index):
            total += relation.weight * relation.strength(position)
            full += relation.weight
            sums.append(total)
        return sums, total / full if full else 0.0

    def choose(self, index: int, third: int, chance: float) -> Relation | None:
        """One of a colleague's relations, by weight; None when all have lapsed."""
        sums, _ = self.choices(index, third)
        if not sums or sums[-1] <= 0:
            return None
        return self.relations(index)[min(bisect(sums, chance * sums[-1]), len(sums) - 1)]

    def active(self, relation: Relation, second: int) -> bool:
        """Whether the two still meet at this time."""
        return relation.strength(self.position(second)) > 0.3

    def chance(self, *parts: int) -> float:
        value = self.seed
        for part in parts:
            value = mix(value ^ part)
        return unit(value)
