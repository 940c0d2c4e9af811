"""A generated company for benchmarks: people, the outside world, and who knows whom (performance.md, first paragraph).

Heavy tails are where mail has them: activity of a user (lognormal: the 99th percentile is about 15 times the median), weight
of a tie (Pareto), fame of a contact and size of its company (Zipf). A tie lasts some months of a year or all of them,
so that pairs repeat, begin and fall silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

EMAILS_PER_USER = 400
CONTACTS_PER_USER = 20
DOMAIN = "contoso.example"
ACTIVITY_SIGMA = 1.45
"""With it a mailbox gets a median of about 470 and a 99th percentile of about 6,900 copies a month: answers and copies
from others even out what users begin themselves."""
EXTERNAL_TIES_PER_CONTACT = 4
INTERNAL_TIES_PER_USER = 30
INTERNAL_WEIGHT = 5.0
"""Colleagues write to one another more than to outsiders: about half of all threads."""
MONTHS_OF_A_TIE = 12

_ONSETS = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "ch", "st", "tr", "w"]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: the same number gives the same 64 random-looking bits on every machine."""
    with np.errstate(over="ignore"):
        x = values + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def keys(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """16 bytes for each number, shape (n, 16)."""
    with np.errstate(over="ignore"):
        halves = np.stack([mix(values), mix(values * np.uint64(3) + np.uint64(1))], axis=1)
    return halves.view(np.uint8).reshape(-1, 16)


@dataclass(frozen=True)
class Ties:
    """Who writes to whom: one row a pair of a user and another person, sorted by user, heaviest first. People are codes
    of `Tenant.addresses`. `first`, `count` say by user where its ties lie."""

    user: NDArray[np.int32]
    other: NDArray[np.int32]
    weight: NDArray[np.float64]
    phase: NDArray[np.int32]
    months: NDArray[np.int32]
    first: NDArray[np.int64]
    count: NDArray[np.int64]

    def active(self, month_number: int) -> NDArray[np.bool_]:
        """Which ties write in the month (months counted from year 0)."""
        return (month_number - self.phase) % MONTHS_OF_A_TIE < self.months


@dataclass(frozen=True)
class Tenant:
    """A company sized for `emails` distinct emails a month: 20 k users and 400 k contacts at 8 M.

    A person's code is the place of the address in sorted order, so that sorting codes sorts addresses.
    """

    emails: int
    seed: int = 7

    @property
    def users(self) -> int:
        return max(20, self.emails // EMAILS_PER_USER)

    @property
    def contacts(self) -> int:
        return self.users * CONTACTS_PER_USER

    @property
    def automata(self) -> int:
        """How many of the contacts are machines (`noreply@…`), the most famous ones."""
        return max(1, self.contacts // 2_000)

    @cached_property
    def _sorted_addresses(self) -> tuple[list[str], NDArray[np.int64]]:
        rng = np.random.default_rng([self.seed, 1])
        local = _local_parts(rng, self.users + self.contacts)
        companies = self.contacts // 6 + 1
        sizes = rng.zipf(1.7, companies).clip(max=max(2, self.contacts // 50))
        company_of = np.repeat(np.arange(companies), sizes)
        company_of = np.resize(company_of, self.contacts)
        domains = _domains(rng, companies)
        outside = [f"{name}@{domains[at]}" for name, at in zip(local[self.users :], company_of.tolist(), strict=True)]
        for machine in range(self.automata):
            outside[machine] = f"{('noreply', 'newsletter', 'notifications')[machine % 3]}@m{machine}.{domains[0]}"
        addresses = [f"{name}@{DOMAIN}" for name in local[: self.users]] + outside
        order = np.argsort(np.array(addresses, dtype=np.str_), kind="stable")
        return [addresses[index] for index in order.tolist()], order

    @cached_property
    def addresses(self) -> pa.Array:
        """Sorted addresses of users and contacts, lower case."""
        import pyarrow as pa

        return pa.array(self._sorted_addresses[0], pa.string())

    @cached_property
    def names(self) -> pa.Array:
        """A display name for each address."""
        import pyarrow as pa

        return pa.array(
            [text.partition("@")[0].replace(".", " ").title() for text in self._sorted_addresses[0]], pa.string()
        )

    @cached_property
    def code_of(self) -> NDArray[np.int32]:
        """The code of each person: users first, in order, then contacts."""
        order = self._sorted_addresses[1]
        codes = np.empty(len(order), np.int32)
        codes[order] = np.arange(len(order), dtype=np.int32)
        return codes

    @cached_property
    def user_of(self) -> NDArray[np.int32]:
        """The number of the user at each code, -1 for contacts."""
        numbers = np.full(self.users + self.contacts, -1, np.int32)
        numbers[self.code_of[: self.users]] = np.arange(self.users, dtype=np.int32)
        return numbers

    @cached_property
    def is_automaton(self) -> NDArray[np.bool_]:
        flags = np.zeros(self.users + self.contacts, np.bool_)
        flags[self.code_of[self.users : self.users + self.automata]] = True
        return flags

    @cached_property
    def mailboxes(self) -> pa.Array:
        """The directory object id of each user."""
        import pyarrow as pa

        raw = keys(np.arange(self.users, dtype=np.uint64) + np.uint64(self.seed << 40)).tobytes().hex()
        texts = [raw[at : at + 32] for at in range(0, len(raw), 32)]
        return pa.array([f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}" for t in texts], pa.string())

    @cached_property
    def ties(self) -> Ties:
        rng = np.random.default_rng([self.seed, 2])
        activity = rng.lognormal(0.0, ACTIVITY_SIGMA, self.users)
        user, other = self._pairs(rng, activity)
        pair = np.unique(user.astype(np.int64) * (self.users + self.contacts) + other)
        user, other = np.divmod(pair, self.users + self.contacts)
        raw = (rng.pareto(1.1, len(user)) + 0.05) * np.where(other < self.users, INTERNAL_WEIGHT, 1.0)
        order = np.lexsort((-raw, user))
        user, other, raw = user[order], other[order], raw[order]
        count = np.bincount(user, minlength=self.users)
        per_user = np.bincount(user, weights=raw, minlength=self.users)
        return Ties(
            user=self.code_of[user],
            other=self.code_of[other],
            weight=activity[user] * raw / per_user[user],
            phase=rng.integers(0, MONTHS_OF_A_TIE, len(user)).astype(np.int32),
            months=np.where(rng.random(len(user)) < 0.5, MONTHS_OF_A_TIE, rng.integers(1, 11, len(user))).astype(
                np.int32
            ),
            first=np.cumsum(count) - count,
            count=count,
        )

    def _pairs(
        self, rng: np.random.Generator, activity: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of user and other person (numbers: users first), repeats included: every contact is known to somebody;
        the others fall on famous contacts and on companies that the user deals with already."""
        reach = _drawer(np.sqrt(activity))
        extra = (EXTERNAL_TIES_PER_CONTACT - 1) * self.contacts
        first_user = reach(rng, self.contacts)
        fame = _drawer(1.0 / np.arange(1, self.contacts + 1) ** 0.8)
        known = rng.integers(0, self.contacts, extra // 2)
        neighbour = np.clip(known + rng.integers(-4, 5, extra // 2), 0, self.contacts - 1)
        users = [first_user, reach(rng, extra - extra // 2), first_user[known]]
        contacts = [np.arange(self.contacts), fame(rng, extra - extra // 2), neighbour]
        internal = INTERNAL_TIES_PER_USER * self.users
        colleague = (reach(rng, internal), reach(rng, internal))
        different = colleague[0] != colleague[1]
        user = np.concatenate([*users, colleague[0][different]])
        other = np.concatenate([np.concatenate(contacts) + self.users, colleague[1][different]])
        return user, other


def _drawer(weights: NDArray[np.float64]):  # type: ignore[no-untyped-def]
    cumulative = np.cumsum(weights)

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        places = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
        return np.minimum(places, len(cumulative) - 1)

    return draw


def _words(rng: np.random.Generator, count: int, syllables: int) -> list[str]:
    onsets = rng.integers(0, len(_ONSETS), (count, syllables)).tolist()
    vowels = rng.integers(0, len(_VOWELS), (count, syllables)).tolist()
    return [
        "".join(_ONSETS[o] + _VOWELS[v] for o, v in zip(row, other, strict=True))
        for row, other in zip(onsets, vowels, strict=True)
    ]


def _local_parts(rng: np.random.Generator, count: int) -> list[str]:
    given, family = _words(rng, 900, 2), _words(rng, 9_000, 3)
    first, last = rng.integers(0, 900, count).tolist(), rng.integers(0, 9_000, count).tolist()
    return [f"{given[a]}.{family[b]}{number % 997}" for number, (a, b) in enumerate(zip(first, last, strict=True))]


def _domains(rng: np.random.Generator, count: int) -> list[str]:
    endings = ("com", "de", "co.uk", "fr", "io", "org")
    words = _words(rng, count, 3)
    return [f"{word}{number}.{endings[number % len(endings)]}" for number, word in enumerate(words)]
