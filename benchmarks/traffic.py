"""Mail and meetings of a generated company, a month at a time, as Arrow batches in the order of the lake.

Threads start on working days, get answers within seven days (over month borders too), reach a heavy-tailed audience,
and lie as copies in the mailboxes of all colleagues who take part. Whatever is written is a function of seed, size and
day, so that months may be generated alone and in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.tenant import Tenant, keys, mix

if TYPE_CHECKING:
    import pyarrow as pa

DAY = 86_400_000_000
SECOND = 1_000_000
ANSWERED_WITHIN = 7
"""Days in which all of a thread happens after its first message."""
MAX_LENGTH = 12
MEETINGS_PER_EMAIL = 1 / 20
SPARE = 1.06
"""Threads are drawn for this much more than the month's emails; what is too many is left out at random."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AUDIENCE = np.array([0.62, 0.17, 0.09, 0.09, 0.027, 0.003])
"""How many others are in copy: none, 1, 2, 3 to 6, 7 to 20, 60 to 120."""
_AUDIENCE_FROM = np.array([0, 1, 2, 3, 7, 60])
_AUDIENCE_TO = np.array([0, 1, 2, 6, 20, 120])


@dataclass(frozen=True)
class Threads:
    """Threads of some days: who takes part (codes, sorted by thread and person) and who the two principals are."""

    identity: NDArray[np.uint64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    opener: NDArray[np.int32]
    partner: NDArray[np.int32]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    people: NDArray[np.int32]


@dataclass(frozen=True)
class Month:
    """One month of one company's traffic: `emails` distinct emails, each once in time order."""

    tenant: Tenant
    name: str
    emails: int
    until: datetime | None = None

    @property
    def start(self) -> datetime:
        return datetime(int(self.name[:4]), int(self.name[5:]), 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant that is not generated any more: the month's end, or `until` within it."""
        whole = (self.start + timedelta(days=32)).replace(day=1)
        return whole if self.until is None else min(whole, self.until)

    def batches(self, size: int = 200_000) -> Iterator[CopyBatch]:
        """The month's emails with their copies, `size` emails at a time, sorted by received time."""
        for at in range(0, len(self._order), size):
            yield CopyBatch(self, self._order[at : at + size], self._received[at : at + size])

    @cached_property
    def threads(self) -> Threads:
        return self._threads(self.emails, ANSWERED_WITHIN, _mean_length(), salt=3)

    def _threads(self, messages: int, days_before: int, mean_length: float, salt: int) -> Threads:
        days = [self.start + timedelta(days=number) for number in range(-days_before, (self.end - self.start).days)]
        weights = np.array([0.1 if day.weekday() >= 5 else 1.0 for day in days])
        per_day = messages * SPARE / mean_length / weights[days_before:].sum()
        parts = [
            _threads_of_day(self.tenant, day, max(1, round(per_day * weight)), salt)
            for day, weight in zip(days, weights.tolist(), strict=True)
        ]
        count = np.concatenate([part.count for part in parts])
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("identity", "start", "length", "opener", "partner", "people")
        }
        return Threads(**joined, count=count, first=np.cumsum(count) - count)

    @cached_property
    def _messages(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Thread, place in it and received time (microseconds) of the month's emails, in time order."""
        threads = self.threads
        rng = np.random.default_rng([self.tenant.seed, 4])
        thread = np.repeat(np.arange(len(threads.length)), threads.length)
        begins = np.cumsum(threads.length) - threads.length
        place = np.arange(len(thread)) - begins[thread]
        # noise of a message comes from its identity, so that a month generated later agrees with the one before
        identity = threads.identity[thread] * np.uint64(64) + place.astype(np.uint64)
        hours = np.exp(np.log(1.2) + 1.9 * _normal(identity))
        gap = np.where(place == 0, 0.0, np.minimum(hours, 100.0)) * 3600 * SECOND
        total = np.cumsum(gap)
        elapsed = total - total[begins][thread]
        received = threads.start[thread] + np.minimum(elapsed, ANSWERED_WITHIN * DAY - 1).astype(np.int64)
        low, high = _micros(self.start), _micros(self.end) - 300 * SECOND
        inside = np.flatnonzero((received >= low) & (received < high))
        if len(inside) > self.emails:
            inside = np.sort(rng.permutation(inside)[: self.emails])
        order = inside[np.argsort(received[inside], kind="stable")]
        times = received[order]
        steps = np.arange(len(times))
        times = np.maximum.accumulate(times - steps) + steps
        return thread[order], place[order], times

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        thread, place, _ = self._messages
        return thread * MAX_LENGTH + place

    @property
    def _received(self) -> NDArray[np.int64]:
        return self._messages[2]

    def meetings(self) -> pa.Table:
        """The month's meetings as rows of schemas.MEETINGS, one a copy, sorted by start and key."""
        return _meetings(self)


@dataclass(frozen=True)
class CopyBatch:
    """Some emails of a month, in time order. Email columns have one row an email, copy columns one a copy;
    `email_of_copy` leads from the one to the other."""

    month: Month
    messages: NDArray[np.int64]
    received: NDArray[np.int64]

    @cached_property
    def thread(self) -> NDArray[np.int64]:
        return self.messages // MAX_LENGTH

    @cached_property
    def identity(self) -> NDArray[np.uint64]:
        place = (self.messages % MAX_LENGTH).astype(np.uint64)
        return self.month.threads.identity[self.thread] * np.uint64(64) + place

    @cached_property
    def sender(self) -> NDArray[np.int32]:
        """The principals take turns; now and then somebody else who is in copy writes."""
        threads, thread = self.month.threads, self.thread
        turn = (self.messages % MAX_LENGTH) % 2 == 0
        principal = np.where(turn, threads.opener[thread], threads.partner[thread])
        noise = mix(self.identity ^ np.uint64(5))
        place = threads.first[thread] + (noise % threads.count[thread].astype(np.uint64)).astype(np.int64)
        other = threads.people[place]
        is_other = ((noise >> np.uint64(40)) % np.uint64(100) < 12) & (self.messages % MAX_LENGTH > 0)
        return np.where(is_other & ~self.month.tenant.is_automaton[other], other, principal)

    @cached_property
    def _people(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Email and person of everybody who takes part in an email."""
        threads, thread = self.month.threads, self.thread
        count = threads.count[thread]
        email = np.repeat(np.arange(len(thread)), count)
        within = np.arange(len(email)) - np.repeat(np.cumsum(count) - count, count)
        return email, threads.people[threads.first[thread][email] + within]

    @cached_property
    def _is_to(self) -> NDArray[np.bool_]:
        email, person = self._people
        threads, thread = self.month.threads, self.thread
        principal = (person == threads.opener[thread][email]) | (person == threads.partner[thread][email])
        return principal | (mix(self.identity[email] + person.astype(np.uint64)) % np.uint64(3) == 0)

    @cached_property
    def email_of_copy(self) -> NDArray[np.int64]:
        email, person = self._people
        return email[self.month.tenant.user_of[person] >= 0]

    @cached_property
    def owner(self) -> NDArray[np.int32]:
        """Number of the user in whose mailbox a copy lies."""
        _, person = self._people
        user = self.month.tenant.user_of[person]
        return user[user >= 0]

    @cached_property
    def copy_rank(self) -> NDArray[np.int64]:
        email = self.email_of_copy
        begins = np.flatnonzero(np.diff(email, prepend=-1))
        return np.arange(len(email)) - np.repeat(begins, np.diff(begins, append=len(email))) + 1

    @cached_property
    def copy_identity(self) -> NDArray[np.uint64]:
        return mix(self.identity[self.email_of_copy]) ^ self.owner.astype(np.uint64)

    def addresses(self, *, to: bool) -> pa.Array:
        """To or Cc of each email: sorted, distinct, without the sender."""
        email, person = self._people
        wanted = (person != self.sender[email]) & (self._is_to == to)
        return lists(email[wanted], self.month.tenant.addresses, person[wanted], len(self.messages))

    def to_lake(self) -> pa.Table:
        """The batch's copies as rows of schemas.EMAIL."""
        import pyarrow as pa

        tenant, email = self.month.tenant, self.email_of_copy
        sender = self.sender
        from_address = tenant.addresses.take(pa.array(sender)).take(pa.array(email))
        is_sent = tenant.user_of[sender][email] == self.owner
        recipients = np.bincount(self._people[0], minlength=len(self.messages)) - 1
        is_bulk = (recipients > 50) | tenant.is_automaton[sender]
        columns = {
            "message_key": uuids(keys(self.identity)).take(pa.array(email)),
            "mailbox": tenant.mailboxes.take(pa.array(self.owner)),
            "item_key": uuids(keys(self.copy_identity)),
            "copy_rank": pa.array(self.copy_rank.astype(np.int32)),
            "conversation_key": uuids(keys(self.month.threads.identity[self.thread])).take(pa.array(email)),
            "received_at": instants(self.copy_received),
            "sent_at": instants(self.sent[email]),
            "from_address": from_address,
            "from_name": tenant.names.take(pa.array(sender)).take(pa.array(email)),
            "sender_address": from_address,
            "to_addresses": self.addresses(to=True).take(pa.array(email)),
            "cc_addresses": self.addresses(to=False).take(pa.array(email)),
            "folder_class": pa.array(["inbox", "sent"]).take(pa.array(is_sent.astype(np.int8))),
            "is_meeting_message": pa.array(np.zeros(len(email), np.bool_)),
            "is_bulk": pa.array(is_bulk[email]),
        }
        return pa.table(columns)

    @cached_property
    def sent(self) -> NDArray[np.int64]:
        """Sent time of each email, up to 20 seconds before it arrives."""
        return self.received - (mix(self.identity ^ np.uint64(9)) % np.uint64(20 * SECOND)).astype(np.int64)

    @cached_property
    def copy_received(self) -> NDArray[np.int64]:
        """The email's first copy arrives at its received time, each further one a second later."""
        return self.received[self.email_of_copy] + (self.copy_rank - 1) * SECOND


def _threads_of_day(tenant: Tenant, day: datetime, count: int, salt: int) -> Threads:
    """Threads that start on a day: a tie of the month each, weighted, and an audience from the user's other ties."""
    ordinal = day.toordinal()
    rng = np.random.default_rng([tenant.seed, salt, ordinal])
    ties = tenant.ties
    weights = np.cumsum(np.where(ties.active(day.year * 12 + day.month), ties.weight, 0.0))
    tie = np.minimum(np.searchsorted(weights, rng.random(count) * weights[-1], side="right"), len(weights) - 1)
    user, other = ties.user[tie], ties.other[tie]
    is_machine = tenant.is_automaton[other]
    kind = np.searchsorted(np.cumsum(_AUDIENCE), rng.random(count), side="right").clip(max=len(_AUDIENCE) - 1)
    extras = np.where(is_machine, 0, rng.integers(_AUDIENCE_FROM[kind], _AUDIENCE_TO[kind] + 1))
    thread = np.repeat(np.arange(count), extras)
    number = tenant.user_of[user][thread]
    heavy_first = (rng.random(len(thread)) ** 2 * ties.count[number]).astype(np.int64)
    extra = ties.other[ties.first[number] + heavy_first]
    lively = ~tenant.is_automaton[extra]
    owner = np.concatenate([np.arange(count), np.arange(count), thread[lively]])
    everybody = np.concatenate([user, other, extra[lively]])
    pair = np.unique(owner * np.int64(len(tenant.addresses)) + everybody)
    owner, people = np.divmod(pair, len(tenant.addresses))
    begun_outside = is_machine | (rng.random(count) < 0.45)
    hour = np.clip(rng.normal(13.5, 3.2, count), 0, 23.99)
    start = _micros(day) + (hour * 3600 * SECOND).astype(np.int64)
    length = np.where(is_machine, 1, np.minimum(rng.geometric(1 / _GEOMETRIC_MEAN, count), MAX_LENGTH))
    people_of_thread = np.bincount(owner, minlength=count)
    return Threads(
        identity=mix((np.uint64(ordinal) << np.uint64(32)) + np.arange(count, dtype=np.uint64) + np.uint64(salt << 56)),
        start=start,
        length=length,
        opener=np.where(begun_outside, other, user),
        partner=np.where(begun_outside, user, other),
        first=np.cumsum(people_of_thread) - people_of_thread,
        count=people_of_thread,
        people=people.astype(np.int32),
    )


_GEOMETRIC_MEAN = 2.4


def _mean_length() -> float:
    """Mean messages of a thread, cut at MAX_LENGTH; machines write single ones, which SPARE makes up for."""
    return float((1 - (1 - 1 / _GEOMETRIC_MEAN) ** MAX_LENGTH) * _GEOMETRIC_MEAN)


def _meetings(month: Month) -> pa.Table:
    import pyarrow as pa

    tenant = month.tenant
    wanted = max(1, round(month.emails * MEETINGS_PER_EMAIL))
    threads = month._threads(wanted, 0, 1.0, salt=5)
    chosen = np.flatnonzero(threads.start < _micros(month.end))[:wanted]
    half_hour = 1800 * SECOND
    start = threads.start[chosen] // half_hour * half_hour
    order = np.lexsort((threads.identity[chosen], start))
    chosen, start = chosen[order], start[order]
    count = threads.count[chosen]
    meeting = np.repeat(np.arange(len(chosen)), count)
    within = np.arange(len(meeting)) - np.repeat(np.cumsum(count) - count, count)
    person = threads.people[threads.first[chosen][meeting] + within]
    identity = threads.identity[chosen]
    noise = mix(identity[meeting] + person.astype(np.uint64))
    organizer = threads.opener[chosen]
    response = np.searchsorted([60, 70, 95], (noise % np.uint64(100)).astype(np.int64), side="right")
    responses = pa.array(["accepted", "tentativelyAccepted", "none", "declined"])
    guest = person != organizer[meeting]
    attendees = lists_of_attendees(
        meeting[guest],
        tenant.addresses.take(pa.array(person[guest])),
        (noise[guest] >> np.uint64(20)) % np.uint64(5) == 0,
        responses.take(pa.array(response[guest])),
        len(chosen),
    )
    copy = tenant.user_of[person] >= 0
    of, owner = meeting[copy], tenant.user_of[person][copy]
    minutes = np.array([30, 30, 60, 60, 45, 90])[(identity % np.uint64(6)).astype(np.int64)]
    is_all_day = identity % np.uint64(50) == 0
    length = np.where(is_all_day, DAY, minutes * 60 * SECOND)
    series = uuids(keys(identity ^ np.uint64(1)), missing=identity % np.uint64(5) >= 2)
    return pa.table(
        {
            "meeting_key": uuids(keys(identity)).take(pa.array(of)),
            "mailbox": tenant.mailboxes.take(pa.array(owner)),
            "item_key": uuids(keys(mix(identity[of]) ^ owner.astype(np.uint64))),
            "series_key": series.take(pa.array(of)),
            "organizer_address": tenant.addresses.take(pa.array(organizer[of])),
            "is_organizer": pa.array(tenant.user_of[organizer[of]] == owner),
            "own_response": responses.take(pa.array(response[copy])),
            "attendees": attendees.take(pa.array(of)),
            "start_at": instants(start[of]),
            "end_at": instants((start + length)[of]),
            "is_all_day": pa.array(is_all_day[of]),
            "is_cancelled": pa.array((identity % np.uint64(33) == 1)[of]),
        }
    )


def lists(owner: NDArray[np.int64], words: pa.Array, codes: NDArray[np.int32], count: int) -> pa.Array:
    """A list of words for each of `count` owners; `owner` is sorted."""
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), words.take(pa.array(codes)))


def lists_of_attendees(
    owner: NDArray[np.int64], addresses: pa.Array, optional: NDArray[np.bool_], responses: pa.Array, count: int
) -> pa.Array:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int32)
    kinds = pa.array(["required", "optional"]).take(pa.array(optional.astype(np.int8)))
    rows = pa.StructArray.from_arrays([addresses, kinds, responses], names=["address", "type", "response"])
    return pa.ListArray.from_arrays(pa.array(offsets), rows)


def uuids(raw: NDArray[np.uint8], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    import pyarrow as pa

    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(raw), [None, pa.py_buffer(raw.tobytes())])
    if missing is not None:
        storage = pa.compute.if_else(pa.array(missing), pa.scalar(None, pa.binary(16)), storage)
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def instants(micros: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.array(micros, pa.int64()).view(pa.timestamp("us", tz="UTC"))


def _micros(instant: datetime) -> int:
    return int((instant - _EPOCH).total_seconds()) * SECOND


def _normal(identity: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A standard normal number of each identity (Box-Muller)."""
    first = (mix(identity) >> np.uint64(11)).astype(np.float64) / 2**53
    second = (mix(identity ^ np.uint64(0x5555)) >> np.uint64(11)).astype(np.float64) / 2**53
    return np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)
