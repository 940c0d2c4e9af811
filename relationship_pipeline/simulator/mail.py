"""Mail of a stream: conversations begun in one third of a month, with all their messages.

`Email` is one message; the mailboxes that hold it are `members`. What each mailbox makes of it is in mailbox.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import NormalDist

from relationship_pipeline.simulator.hashing import MASK, mix, poisson, stream_of_chance, unit
from relationship_pipeline.simulator.meetings import Meeting, Meetings
from relationship_pipeline.simulator.people import TEAM_SIZE, Recipient
from relationship_pipeline.simulator.streams import Stream, Streams
from relationship_pipeline.simulator.times import DAY, HOUR, MONTH_DAYS, epoch, third_bounds

MESSAGE, DRAFT, REQUEST, ACCEPTED, TENTATIVE, DECLINED, CANCELLED = range(7)
_MORE = 0.62  # chance that a message is not the last of its conversation
_MEAN_LENGTH = 1 / (1 - _MORE)
_CLIENT_LENGTH = 2.15  # measured: outside threads also end where nobody answers
THREAD_SPAN = int(7.4 * DAY)  # the shortest third has eight days
_GAPS = [math.exp(NormalDist(0.0, 1.1).inv_cdf((i + 0.5) / 1024)) for i in range(1024)]
_BULK_SENDERS = ("newsletter", "no-reply", "noreply", "notifications", "do-not-reply", "news")
_ANSWER = {"accepted": ACCEPTED, "tentativelyAccepted": TENTATIVE, "declined": DECLINED}


class Email:
    """One message. `sender_index` is the colleague who sent it or -1; `depth` counts the messages before it."""

    __slots__ = (
        "attachments", "bcc", "bulk", "cc", "conversation", "depth", "from_", "key", "kind", "members", "message_id",
        "opened", "sender", "sender_index", "sent", "sent_header", "to",
    )  # fmt: skip

    def __init__(
        self,
        key: int,
        conversation: int,
        opened: int,
        depth: int,
        sent: int,
        sender: Recipient | None,
        sender_index: int,
        to: tuple[Recipient, ...],
        cc: tuple[Recipient, ...],
        members: tuple[int, ...],
        kind: int = MESSAGE,
        bulk: bool = False,
    ) -> None:
        self.key = key
        self.conversation = conversation  # the conversation's GUID as a number
        self.opened = opened
        self.depth = depth
        self.sent = sent
        self.sent_header = sent  # what the sender's clock said
        self.sender = sender
        self.from_ = sender
        self.sender_index = sender_index
        self.to = to
        self.cc = cc
        self.bcc: tuple[Recipient, ...] = ()
        self.members = members
        self.kind = kind
        self.bulk = bulk
        self.attachments = key >> 58 < 12
        self.message_id: str | None = (
            f"<{'AM0DB7VI'[key & 6 : (key & 6) + 2]}{key:016X}@{key >> 40 & 0xFFFF:04x}.prod.outlook.com>"
            if sender_index >= 0
            else f"<{key:016x}@mail{key >> 50 & 7}.{sender.canonical.rpartition('@')[2] or 'relay.example'}>"
            if sender
            else None
        )


class Mail:
    """Makes the messages of streams, as a pure function of stream and third."""

    def __init__(self, streams: Streams, meetings: Meetings) -> None:
        self.streams = streams
        self.meetings = meetings
        self.people = streams.people
        self.realism = streams.people.scenario.realism
        # Drafts lie in one mailbox only, beside what is sent from there; a third of all copies are sent.
        self._draft_chance = 3.0 * self.realism.drafts
        r = self.realism
        self._rough = r.null_message_ids + r.missing_from + r.bad_clocks + r.delegated + r.bcc

    def begun(self, stream: Stream, third: int) -> list[Email]:
        """All messages of conversations that began in this third, in no particular order."""
        rng = stream_of_chance(mix(stream.key ^ (third * 8 + 1)))
        start, end = third_bounds(third)
        if end <= self.streams.start - 40 * DAY or start >= self.streams.end:
            return []
        kinds = {"client": self._client, "internal": self._internal, "team": self._team, "bulk": self._bulk,
                 "company": self._company}  # fmt: skip
        emails: list[Email] = []
        kinds[stream.kind](stream, third, start, end, rng, emails)
        if self.realism.meeting_messages:
            for meeting in self.meetings.arranged(stream, third):
                emails += self._meeting_messages(meeting)
        users = self.people.users
        return [email for email in emails if email.sender_index < 0 or users[email.sender_index].active_at(email.sent)]

    def flood_size(self, flood: Stream, day: int) -> int:
        """How many messages flood a giant mailbox on a day (days since 1970), without making them."""
        return poisson(stream_of_chance(mix(flood.key ^ day)), flood.rate / MONTH_DAYS)

    def flood(self, flood: Stream, day: int) -> list[Email]:
        """Those messages: requests from many companies, one message a conversation, none sent in the last seconds."""
        people = self.people
        rng = stream_of_chance(mix(flood.key ^ day))
        draw, bits = rng.random, rng.getrandbits
        to = (people.internal(flood.owner),)
        emails = []
        for _ in range(poisson(rng, flood.rate / MONTH_DAYS)):
            key = bits(64)
            sent = day * DAY + int((DAY - 30) * draw())
            company = int(people.companies * draw())
            place = int(people.company(company).size * draw())
            sender = people.outside(company, place)
            emails.append(Email(key, key << 64 | key, sent, 0, sent, sender, -1, to, (), flood.members))
        return emails

    def _conversations(self, stream: Stream, start: int, end: int, rng: random.Random, scale: float = 1.0) -> int:
        meeting_part = 1 - self.realism.meeting_messages if stream.kind != "bulk" else 1.0
        mean = stream.rate * meeting_part * (end - start) / DAY / MONTH_DAYS * scale
        return poisson(rng, mean / (_CLIENT_LENGTH if stream.kind == "client" else _MEAN_LENGTH))

    def _client(self, s: Stream, third: int, start: int, end: int, rng: random.Random, out: list[Email]) -> None:
        _, busy = self.streams.choices(s.owner, third)
        draw = rng.random
        for _ in range(self._conversations(s, start, end, rng, busy)):
            relation = self.streams.choose(s.owner, third, draw())
            if relation is None:
                return
            conversation = rng.getrandbits(128)
            writer = s.members[1] if len(s.members) > 1 and draw() < 0.3 else s.owner
            extra = -1
            if draw() < 0.2:
                size = self.people.company(relation.company).size
                extra = (relation.place + 1 + int(draw() * (size - 1))) % size
                extra = -1 if extra == relation.place else extra
            ours = draw() < relation.ours
            opened = sent = _start_time(start, end, draw)
            depth = 0
            while True:
                key = rng.getrandbits(64)
                out.append(self._client_email(s, key, conversation, opened, depth, sent, ours, writer, relation.company,
                                              relation.place, extra))  # fmt: skip
                if ours and draw() < self._draft_chance:
                    out.append(self._draft(key, conversation, opened, sent, writer))
                if draw() > _MORE:
                    break
                same = draw() < 0.15
                if not ours and not same and draw() > relation.answers:
                    break
                ours = ours if same else not ours
                sent = _later(sent, relation.our_hours if ours else relation.their_hours, draw())
                if sent - opened > THREAD_SPAN or sent >= end + THREAD_SPAN:
                    break
                depth += 1

    def _client_email(
        self, s: Stream, key: int, conversation: int, opened: int, depth: int, sent: int, ours: bool, writer: int,
        company: int, place: int, extra: int,
    ) -> Email:  # fmt: skip
        people = self.people
        contact = people.outside(company, place, key >> 8)
        also = (people.outside(company, extra, key >> 20),) if extra >= 0 else ()
        mates = tuple(people.internal(index, key >> 14) for index in s.members if index != writer)
        me = people.internal(writer, key >> 30)
        if ours:
            email = Email(key, conversation, opened, depth, sent, me, writer, (contact,), also + mates, s.members)
        elif also and key & 7 == 0:
            email = Email(key, conversation, opened, depth, sent, also[0], -1, (me, *mates), (contact,), s.members)
        else:
            email = Email(key, conversation, opened, depth, sent, contact, -1, (me, *mates), also, s.members)
        return self._roughen(email)

    def _internal(self, s: Stream, third: int, start: int, end: int, rng: random.Random, out: list[Email]) -> None:
        draw = rng.random
        for _ in range(self._conversations(s, start, end, rng)):
            conversation = rng.getrandbits(128)
            writer = int(draw() * 2)
            opened = sent = _start_time(start, end, draw)
            depth = 0
            while True:
                key = rng.getrandbits(64)
                me, mate = s.members[writer], s.members[1 - writer]
                to = (self.people.internal(mate, key >> 14),)
                private = self.people.personal(me) if key & 31 == 0 else None
                if private:
                    # From home, by the person's outside address: for the company this is mail from a stranger.
                    out.append(Email(key, conversation, opened, depth, sent, private, -1, to, (), (mate,)))
                else:
                    sender = self.people.internal(me, key >> 30)
                    email = Email(key, conversation, opened, depth, sent, sender, me, to, (), s.members)
                    out.append(self._roughen(email))
                if draw() < self._draft_chance:
                    out.append(self._draft(key, conversation, opened, sent, me))
                sent = _later(sent, 2.0, draw())
                if draw() > _MORE or sent - opened > THREAD_SPAN or sent >= end + THREAD_SPAN:
                    break
                writer = 1 - writer
                depth += 1

    def _team(self, s: Stream, third: int, start: int, end: int, rng: random.Random, out: list[Email]) -> None:
        draw = rng.random
        for _ in range(self._conversations(s, start, end, rng)):
            conversation = rng.getrandbits(128)
            as_list = self.realism.distribution_lists and draw() < 0.6
            opened = sent = _start_time(start, end, draw)
            depth = 0
            while True:
                key = rng.getrandbits(64)
                writer = s.members[int(draw() * len(s.members))]
                if as_list:
                    to: tuple[Recipient, ...] = (self.people.team_address(s.owner // TEAM_SIZE),)
                else:
                    to = tuple(self.people.internal(i, key >> 14) for i in s.members if i != writer)
                email = Email(key, conversation, opened, depth, sent, self.people.internal(writer, key >> 30), writer,
                              to, (), s.members)  # fmt: skip
                out.append(self._roughen(email))
                sent = _later(sent, 3.0, draw())
                if draw() > _MORE or sent - opened > THREAD_SPAN or sent >= end + THREAD_SPAN:
                    break
                depth += 1

    def _bulk(self, s: Stream, third: int, start: int, end: int, rng: random.Random, out: list[Email]) -> None:
        me = s.owner
        for _ in range(poisson(rng, s.rate * (end - start) / DAY / MONTH_DAYS)):
            key = rng.getrandbits(64)
            sent = start + int((end - start) * rng.random())
            company = self.people.company(mix(self.streams.seed ^ (me * 16 + key % 9)) % self.people.companies)
            kind = _BULK_SENDERS[company.index % len(_BULK_SENDERS)]
            sender = self.people.newsletter(company.index, kind)
            email = Email(key, key << 64 | mix(key), sent, 0, sent, sender, -1, (self.people.internal(me, key >> 30),),
                          (), s.members, bulk=True)  # fmt: skip
            out.append(self._roughen(email))

    def _company(self, s: Stream, third: int, start: int, end: int, rng: random.Random, out: list[Email]) -> None:
        """News to everybody about once a month, and the odd message with a very long list of recipients."""
        people = self.people
        writer = int(rng.random() * len(s.members))
        me = people.internal(writer)
        if self.realism.distribution_lists and rng.random() < 0.4:
            key, sent = rng.getrandbits(64), _start_time(start, end, rng.random)
            out.append(Email(key, key << 64 | mix(key), sent, 0, sent, me, writer, (people.everyone_address(),), (),
                             s.members))  # fmt: skip
        if third % 3 != 1:
            return
        for size in self.realism.huge_recipients:
            key, sent = rng.getrandbits(64), _start_time(start, end, rng.random)
            to = [people.internal(index) for index in s.members[: size // 2]]
            to += [people.guest_list(number) for number in range(size - len(to))]
            members = tuple(sorted({writer, *s.members[: size // 2]}))
            out.append(Email(key, key << 64 | mix(key), sent, 0, sent, me, writer, tuple(to), (), members))

    def _meeting_messages(self, meeting: Meeting) -> list[Email]:
        """The invitation, the answers to it and a cancellation, each between the people concerned."""
        uid = meeting.uid
        conversation = uid << 64 | mix(uid)
        organizer = meeting.organizer
        people = tuple(a.person for a in meeting.attendees if a.kind != "resource")
        created = meeting.created
        invitation = Email(mix(uid ^ 21), conversation, created, 0, created, organizer, organizer.user, people, (),
                           meeting.members, REQUEST)  # fmt: skip
        emails = [invitation]
        for place, attendee in enumerate(meeting.attendees):
            kind = _ANSWER.get(attendee.response)
            holders = tuple(m for m in meeting.members if m in (attendee.person.user, organizer.user))
            if kind is None or attendee.kind == "resource" or not holders:
                continue
            emails.append(Email(mix(uid ^ (place + 31)), conversation, created, 1, attendee.responded, attendee.person,
                                attendee.person.user, (organizer,), (), holders, kind))  # fmt: skip
        if meeting.cancelled and meeting.modified - created < THREAD_SPAN:
            emails.append(Email(mix(uid ^ 22), conversation, created, 1, meeting.modified, organizer, organizer.user,
                                people, (), meeting.members, CANCELLED))  # fmt: skip
        return emails

    def _draft(self, key: int, conversation: int, opened: int, sent: int, writer: int) -> Email:
        return Email(mix(key ^ 5), conversation, opened, 1, sent + 600, None, writer, (), (), (writer,), DRAFT)

    def _roughen(self, email: Email) -> Email:
        """Apply what goes wrong with single messages; each decision is a hash of the message's key."""
        key = mix(email.key ^ 0xA5A5)
        chance = unit(key)
        if chance >= self._rough:
            return email
        realism = self.realism
        if chance < (limit := realism.null_message_ids):
            email.message_id = None
        elif chance < (limit := limit + realism.missing_from):
            email.from_ = None
        elif chance < (limit := limit + realism.bad_clocks):
            email.sent_header = (epoch(1601, 1), epoch(1980, 1), email.sent + 9 * DAY)[key % 3]
        elif chance < (limit := limit + realism.delegated):
            mates = [index for index in self.people.team(email.sender_index) if index != email.sender_index]
            if email.sender_index >= 0 and mates:
                email.sender = self.people.internal(mates[key % len(mates)])
        elif email.cc and len(email.members) > 1 and email.sender_index >= 0:
            email.bcc = tuple(person for person in email.cc if person.user >= 0)
            email.cc = tuple(person for person in email.cc if person.user < 0)
        return email


def _start_time(start: int, end: int, draw: Callable[[], float]) -> int:
    """A moment in the third, on a working day at a working hour more often than not."""
    chance = draw()
    day = (start + int((end - start) * draw())) // DAY
    weekday = (day + 3) % 7
    if weekday > 4 and chance < 0.9:
        day = min(day + 7 - weekday, end // DAY - 1) if chance < 0.45 else max(day - weekday + 4, start // DAY)
    # The spread of hours has tails into night, wrapped round: mail just before midnight must exist, not a heap at it.
    hour = 13 + 4.2 * math.log(1 / (1e-9 + draw()) - 1 + 1e-12) / 2.2
    return day * DAY + int(hour * HOUR) % DAY


def _later(sent: int, median_hours: float, chance: float) -> int:
    """When the answer comes: a log-normal wait, which weekends lengthen."""
    wait = median_hours * _GAPS[int(chance * 1024)] * HOUR
    moment = sent + 60 + int(wait)
    weekday = (moment // DAY + 3) % 7
    if weekday > 4 and int(chance * 1e6) & 7:
        moment += (7 - weekday) * DAY
    return moment


def conversation_guid(email: Email) -> bytes:
    """The 16 bytes that the conversation has in every mailbox."""
    return (email.conversation & (MASK << 64 | MASK)).to_bytes(16, "big")
