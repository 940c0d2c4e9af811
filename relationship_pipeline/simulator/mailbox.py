"""One mailbox's view of its mail: copies with their folder, times and fate, found by window.

Copies are generated a third of a month at a time and kept in a cache bounded by their number. What a test changes by
hand (moves, deletions, deliveries) lies over them and is the only state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from relationship_pipeline.simulator.hashing import mix, seed_of, unit
from relationship_pipeline.simulator.mail import DRAFT, Email, Mail
from relationship_pipeline.simulator.streams import Streams
from relationship_pipeline.simulator.times import DAY, HOUR, third_of

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Folder:
    number: int
    name: str
    german: str
    well_known: str | None
    parent: int
    hidden: bool = False
    search: bool = False


FOLDERS = (
    Folder(0, "Top of Information Store", "Oberste Ebene des Informationsspeichers", "msgfolderroot", 0),
    Folder(1, "Inbox", "Posteingang", "inbox", 0),
    Folder(2, "Sent Items", "Gesendete Elemente", "sentitems", 0),
    Folder(3, "Drafts", "Entwürfe", "drafts", 0),
    Folder(4, "Deleted Items", "Gelöschte Elemente", "deleteditems", 0),
    Folder(5, "Junk Email", "Junk-E-Mail", "junkemail", 0),
    Folder(6, "Archive", "Archiv", "archive", 0),
    Folder(7, "Outbox", "Postausgang", "outbox", 0),
    Folder(8, "Sync Issues", "Synchronisierungsprobleme", "syncissues", 0),
    Folder(9, "Conflicts", "Konflikte", "conflicts", 8),
    Folder(10, "Local Failures", "Lokale Fehler", "localfailures", 8),
    Folder(11, "Server Failures", "Serverfehler", "serverfailures", 8),
    Folder(12, "Conversation History", "Aufgezeichnete Unterhaltungen", "conversationhistory", 0),
    Folder(13, "Clutter", "Clutter", "clutter", 0),
    Folder(14, "Clients", "Kunden", None, 0),
    Folder(15, "Key Accounts", "Schlüsselkunden", None, 14),
    Folder(16, "Closed", "Abgeschlossen", None, 14),
    Folder(17, "PersonMetadata", "PersonMetadata", None, 0, hidden=True),
    Folder(18, "Unread Mail", "Ungelesene Nachrichten", None, 0, search=True),
)
INBOX, SENT, DRAFTS, DELETED, JUNK, ARCHIVE = 1, 2, 3, 4, 5, 6
CONFLICTS, CLUTTER, CLIENTS, KEY_ACCOUNTS = 9, 13, 14, 15
# Folders whose mail does not count as correspondence (product.md B6).
LEFT_OUT = frozenset({3, 4, 5, 7, 8, 9, 10, 11, 12})
BY_WELL_KNOWN = {folder.well_known: folder.number for folder in FOLDERS if folder.well_known}


class Copy:
    """A message in one mailbox. It can be seen from `visible_from` until before `deleted_at`; from `moved_at` on it
    lies in `folder`, before that in `first_folder`."""

    __slots__ = (
        "created", "deleted_at", "email", "first_folder", "folder", "mailbox", "moved_at", "number", "received",
        "visible_from",
    )  # fmt: skip

    def __init__(self, email: Email, mailbox: int, number: int, received: int, folder: int) -> None:
        self.email = email
        self.mailbox = mailbox
        self.number = number
        self.received = received
        self.created = received
        self.folder = folder
        self.first_folder = folder
        self.visible_from = received
        self.moved_at = 0
        self.deleted_at = NEVER

    def folder_at(self, now: int) -> int:
        return self.folder if self.moved_at <= now else self.first_folder

    def modified_at(self, now: int) -> int:
        """lastModifiedDateTime as seen at this time."""
        return self.moved_at if self.created < self.moved_at <= now else self.created + 3

    def visible(self, now: int) -> bool:
        return self.visible_from <= now < self.deleted_at

    @property
    def order(self) -> tuple[int, int]:
        return self.received, self.number


class Mailboxes:
    """Copies of every mailbox of the tenant, by window."""

    def __init__(self, streams: Streams, mail: Mail, capacity: int = 400_000) -> None:
        self.streams = streams
        self.people = streams.people
        self.mail = mail
        self.realism = streams.people.scenario.realism
        self.seed = seed_of("mailboxes", streams.people.scenario.seed)
        self._capacity = capacity
        self._held = 0
        self._thirds: OrderedDict[tuple[int, int], list[Copy]] = OrderedDict()
        self._delivered: dict[int, list[Copy]] = {}
        self._changed: dict[tuple[int, int], Callable[[Copy], None]] = {}
        self.version = 0  # counts changes by hand, so that answers made before them are not reused
        self._salt = lru_cache(maxsize=65536)(lambda mailbox: mix(self.seed ^ mailbox))
        self._imported = lru_cache(maxsize=65536)(
            lambda mailbox: unit(mix(self.seed ^ (mailbox + 31))) < self.realism.imported_mailboxes
        )
        self._import_at = streams.start + int((streams.end - streams.start) * 0.8)

    def copies(self, mailbox: int, start: int, end: int) -> list[Copy]:
        """All copies received in [start, end), oldest first, whether they can be seen yet or not."""
        low, high = max(start, self.streams.start), min(end, self.streams.end)
        found: list[Copy] = []
        if low < high:
            for third in range(third_of(low) - 1, third_of(high - 1) + 1):
                part = self.begun(mailbox, third)
                first = bisect_left(part, low, key=_received)
                found += part[first : bisect_left(part, high, first, key=_received)]
            if self.streams.flood(mailbox):
                for day in range(low // DAY, (high - 1) // DAY + 1):
                    found += [copy for copy in self.flooded(mailbox, day) if low <= copy.received < high]
        found += [copy for copy in self._delivered.get(mailbox, ()) if start <= copy.received < end]
        found.sort(key=_order)
        return found

    def flooded(self, mailbox: int, day: int) -> list[Copy]:
        """One day of a giant mailbox's extra mail: it stays in the inbox as it came, so that it can be counted unmade."""
        stream = self.streams.flood(mailbox)
        key = (mailbox, -day)
        held = self._thirds.get(key)
        if held is None and stream:
            held = []
            for email in self.mail.flood(stream, day):
                number = mix(email.key ^ self._salt(mailbox))
                held.append(Copy(email, mailbox, number, email.sent + 1 + (number & 15), INBOX))
            self._keep(key, held)
        return held or []

    def count(self, mailbox: int, start: int, end: int, now: int) -> int:
        """How many copies `visible` would give; whole days of a giant mailbox's extra mail are not made for it."""
        stream = self.streams.flood(mailbox)
        low, high = max(start, self.streams.start), min(end, self.streams.end)
        if stream is None or low % DAY or high % DAY or self._delivered or now < high:
            return len(self.visible(mailbox, start, end, now))
        ordinary = sum(
            copy.visible(now)
            for third in range(third_of(low) - 1, third_of(high - 1) + 1)
            for copy in self.begun(mailbox, third)
            if low <= copy.received < high
        )
        return ordinary + sum(self.mail.flood_size(stream, day) for day in range(low // DAY, high // DAY))

    def visible(self, mailbox: int, start: int, end: int, now: int) -> list[Copy]:
        """Copies received in [start, end) that Graph shows at `now`, oldest first."""
        return [copy for copy in self.copies(mailbox, start, end) if copy.visible_from <= now < copy.deleted_at]

    def begun(self, mailbox: int, third: int) -> list[Copy]:
        """Copies of conversations begun in a third, oldest first; some were received after its end."""
        key = (mailbox, third)
        held = self._thirds.get(key)
        if held is not None:
            self._thirds.move_to_end(key)
            return held
        found = []
        for stream in self.streams.of_mailbox(mailbox):
            for email in self.mail.begun(stream, third):
                copy = self.copy_of(email, mailbox)
                if copy is not None:
                    found.append(copy)
        found.sort(key=_order)
        self._keep(key, found)
        return found

    def _keep(self, key: tuple[int, int], copies: list[Copy]) -> None:
        """Hold a part of a mailbox, and let go of those asked for longest ago."""
        self._thirds[key] = copies
        self._held += len(copies) + 8
        while self._held > self._capacity and len(self._thirds) > 1:
            self._held -= len(self._thirds.popitem(last=False)[1]) + 8

    def copy_of(self, email: Email, mailbox: int) -> Copy | None:
        """The copy of a message in one of the mailboxes that hold it; None if its owner was not there at the time."""
        if mailbox not in email.members:
            return None
        number = mix(email.key ^ self._salt(mailbox))
        if email.kind == DRAFT:
            return Copy(email, mailbox, number, email.sent, DRAFTS)
        own = email.sender_index == mailbox
        received = email.sent if own else email.sent + 1 + (number & 15)
        if not own and number >> 4 & 0xFF == 0:
            received += (number >> 16 & 0x3FFF) % (3 * HOUR)  # greylisted on the way
        if not self.people.users[mailbox].active_at(received):
            return None
        copy = Copy(email, mailbox, number, received, SENT if own else INBOX)
        self._settle(copy, own)
        change = self._changed.get((mailbox, number))
        if change is not None:
            change(copy)
        return copy

    def _settle(self, copy: Copy, own: bool) -> None:
        """Decide folder and fate of a copy: one hash, and thresholds in a row."""
        realism = self.realism
        chance = unit(mix(copy.number))
        later = copy.received + HOUR + int(unit(mix(copy.number ^ 9)) * 20 * DAY)
        if chance < (limit := realism.deleted):
            copy.deleted_at = later
        elif chance < (limit := limit + realism.in_deleted_items):
            copy.folder, copy.moved_at = DELETED, later
        elif chance < (limit := limit + realism.moved):
            copy.folder, copy.moved_at = (CLIENTS, KEY_ACCOUNTS, ARCHIVE)[copy.number >> 20 & 1 if own else 2], later
        elif chance < (limit := limit + realism.sync_issues):
            copy.folder = copy.first_folder = CONFLICTS
        elif chance < (limit := limit + realism.late_arrivals):
            copy.visible_from = copy.created = later - (later - copy.received) * 7 // 10
        elif not own and chance < (limit := limit + realism.other_folders):
            copy.folder = copy.first_folder = (CLIENTS, KEY_ACCOUNTS, ARCHIVE, CLUTTER)[copy.number >> 20 & 3]
        elif not own and copy.email.bulk and chance > 0.9 and realism.other_folders:
            copy.folder = copy.first_folder = JUNK
        if self._imported(copy.mailbox) and copy.number >> 30 & 1023 < 102 and copy.received < self._import_at:
            copy.visible_from = copy.created = self._import_at + (copy.number & 0xFFF)

    def move(self, copy: Copy, folder: int, now: int) -> None:
        """Move a message by hand, from `now` on."""
        first = copy.folder_at(now)

        def change(target: Copy) -> None:
            target.first_folder, target.folder, target.moved_at = first, folder, now

        self._change(copy, change)

    def delete(self, copy: Copy, now: int) -> None:
        """Delete a message by hand, for good, from `now` on."""

        def change(target: Copy) -> None:
            target.deleted_at = now

        self._change(copy, change)

    def _change(self, copy: Copy, change: Callable[[Copy], None]) -> None:
        self._changed[copy.mailbox, copy.number] = change
        change(copy)
        self.version += 1

    def deliver(self, email: Email, received: int, now: int, *, keeps_times: bool = False) -> list[Copy]:
        """Put a message into the mailboxes of its members, as received at `received` and seen from `now` on. With
        `keeps_times` it says that it was created when it was received, as mail does that an archive tool brings back."""
        copies = []
        for mailbox in email.members:
            own = email.sender_index == mailbox
            copy = Copy(email, mailbox, mix(email.key ^ self._salt(mailbox)), received, SENT if own else INBOX)
            copy.visible_from = max(now, received)
            copy.created = received if keeps_times else copy.visible_from
            self._delivered.setdefault(mailbox, []).append(copy)
            copies.append(copy)
        self.version += 1
        return copies

    def delivered(self) -> list[tuple[Email, list[Copy]]]:
        """Messages delivered by hand, each with its copies."""
        grouped: dict[int, tuple[Email, list[Copy]]] = {}
        for copies in self._delivered.values():
            for copy in copies:
                grouped.setdefault(copy.email.key, (copy.email, []))[1].append(copy)
        return list(grouped.values())


def _received(copy: Copy) -> int:
    return copy.received


def _order(copy: Copy) -> tuple[int, int]:
    return copy.received, copy.number
