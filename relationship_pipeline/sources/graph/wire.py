"""Graph's JSON as types, and pages of it as Arrow batches.

Only what was asked for is decoded: a property that is not a field here is skipped without being built, so no subject or
body can enter the process's memory as an object (product.md B7). Nothing of a page outlives its batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Generic, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from relationship_pipeline.schemas import ADDRESSES, ATTENDEES, INSTANT, STAGED_EMAIL, STAGED_MEETING
from relationship_pipeline.sources.zones import zone_of

Row = TypeVar("Row")

MESSAGE_FIELDS = (
    "id,internetMessageId,conversationId,conversationIndex,sentDateTime,receivedDateTime,"
    "from,sender,toRecipients,ccRecipients,isDraft,parentFolderId"
)
EVENT_FIELDS = (
    "id,iCalUId,seriesMasterId,type,organizer,isOrganizer,attendees,responseStatus,start,end,isAllDay,isCancelled,"
    "isDraft,sensitivity"
)
UTC_ZONES = frozenset({"UTC", None})
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for a body: it is not JSON, nested too deep, or not UTF-8."""


class BadPage(Exception):
    """A 200 whose body is not what was asked for: not JSON, cut off, too deep, or an error object inside."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Address(msgspec.Struct, gc=False):
    address: str | None = None


class NamedAddress(msgspec.Struct, gc=False):
    address: str | None = None
    name: str | None = None


class Recipient(msgspec.Struct, gc=False):
    emailAddress: Address | None = None


class NamedRecipient(msgspec.Struct, gc=False):
    emailAddress: NamedAddress | None = None


class Message(msgspec.Struct, gc=False):
    """graph.md 1.3."""

    id: str | None = None
    receivedDateTime: str | None = None
    lastModifiedDateTime: str | None = None
    sentDateTime: str | None = None
    internetMessageId: str | None = None
    conversationId: str | None = None
    conversationIndex: str | None = None
    parentFolderId: str | None = None
    isDraft: bool | None = None
    from_: NamedRecipient | None = msgspec.field(name="from", default=None)
    sender: Recipient | None = None
    toRecipients: list[Recipient] | None = None
    ccRecipients: list[Recipient] | None = None
    kind: str | None = msgspec.field(name="@odata.type", default=None)


class Instant(msgspec.Struct, gc=False):
    dateTime: str | None = None
    timeZone: str | None = None


class Answer(msgspec.Struct, gc=False):
    response: str | None = None


class Attendee(msgspec.Struct, gc=False):
    type: str | None = None
    status: Answer | None = None
    emailAddress: Address | None = None


class Event(msgspec.Struct, gc=False):
    """graph.md 1.5."""

    id: str | None = None
    iCalUId: str | None = None
    seriesMasterId: str | None = None
    type: str | None = None
    organizer: NamedRecipient | None = None
    isOrganizer: bool | None = None
    attendees: list[Attendee] | None = None
    responseStatus: Answer | None = None
    start: Instant | None = None
    end: Instant | None = None
    isAllDay: bool | None = None
    isCancelled: bool | None = None
    isDraft: bool | None = None
    sensitivity: str | None = None


class Folder(msgspec.Struct, gc=False):
    id: str
    childFolderCount: int | None = None
    kind: str | None = msgspec.field(name="@odata.type", default=None)


class BatchPart(msgspec.Struct):
    """One answer within a batch (graph.md 3.2); parts come in any order."""

    id: str
    status: int
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"")


class _Batch(msgspec.Struct):
    responses: list[BatchPart]


class DirectoryObject(msgspec.Struct, gc=False):
    """A user, or a member of a group or role of any kind (graph.md 1.6)."""

    id: str | None = None
    kind: str | None = msgspec.field(name="@odata.type", default=None)
    userPrincipalName: str | None = None
    mail: str | None = None
    displayName: str | None = None
    proxyAddresses: list[str] | None = None
    accountEnabled: bool | None = None
    userType: str | None = None
    onPremisesExtensionAttributes: dict[str, str | None] | None = None


class ErrorText(msgspec.Struct):
    code: str | None = None


class ErrorBody(msgspec.Struct):
    error: ErrorText | str | None = None


class Page(msgspec.Struct, Generic[Row]):
    """One page of a collection, whatever its rows. `rejected` counts rows that are not of the expected shape."""

    value: list[Row] | None = None
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    count: int | None = msgspec.field(name="@odata.count", default=None)
    error: ErrorText | None = None
    rejected: int = msgspec.field(name="-", default=0)

    @property
    def rows(self) -> list[Row]:
        return self.value or []


def page_decoder(row: type[Row]) -> Callable[[bytes], Page[Row]]:
    """A function from a body to a page; it raises BadPage. A row of a wrong shape costs that row, not the page."""
    fast = msgspec.json.Decoder(Page[row])  # type: ignore[valid-type]
    loose = msgspec.json.Decoder(Page[msgspec.Raw])
    one = msgspec.json.Decoder(row)

    def decode(body: bytes) -> Page[Row]:
        try:
            page = _page(body)
        except _UNREADABLE:
            try:
                page = _page(_without_halves(body))
            except _UNREADABLE:
                raise BadPage("not_json") from None
        if page.error is not None:
            raise BadPage(_plain(page.error.code) or "error_in_200")
        if page.value is None:
            raise BadPage("no_value")
        return page

    def _page(body: bytes) -> Page[Row]:
        try:
            return fast.decode(body)
        except msgspec.ValidationError:
            return _row_by_row(_without_halves(body))

    def _row_by_row(body: bytes) -> Page[Row]:
        raw = loose.decode(body)
        rows: list[Row] = []
        for item in raw.rows:
            with suppress(*_UNREADABLE):
                rows.append(one.decode(item))
        rejected = len(raw.rows) - len(rows)
        return Page(value=rows, next_link=raw.next_link, count=raw.count, error=raw.error, rejected=rejected)

    return decode


_ESCAPE = re.compile(rb"\\(?:u[Dd][89ABab]..\\u[Dd][C-Fc-f]..|u[Dd][89A-Fa-f]..|.)", re.DOTALL)


def _without_halves(body: bytes) -> bytes:
    """The body with U+FFFD for each half of a surrogate pair that stands alone: a name that was cut off within an emoji.
    .NET writes such a half as it is; it is no text, and would cost the page and with it the mailbox."""
    return _ESCAPE.sub(_or_replacement, body)


def _or_replacement(escape: re.Match[bytes]) -> bytes:
    text = escape[0]
    return rb"\ufffd" if len(text) == len(rb"\ud83d") else text


def decode_count(body: bytes) -> int | None:
    """The text/plain integer of `/$count`, byte order mark tolerated; None for -1, the service's word for a filtered list
    that it cannot count. Raises BadPage."""
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if text == b"-1":
        return None
    if not text.isdigit() or len(text) > 15:
        raise BadPage("not_a_count")
    return int(text)


def object_decoder(kind: type[Row]) -> Callable[[bytes], Row]:
    """A function from a body to one object; it raises BadPage."""
    decoder = msgspec.json.Decoder(kind)

    def decode(body: bytes) -> Row:
        try:
            return decoder.decode(body)
        except _UNREADABLE:
            raise BadPage("not_json") from None

    return decode


def decode_batch(body: bytes) -> dict[str, BatchPart]:
    """The parts of a batch by id. Raises BadPage."""
    try:
        return {part.id: part for part in _BATCH.decode(body).responses}
    except _UNREADABLE:
        raise BadPage("not_a_batch") from None


def error_code(body: bytes) -> str:
    """Graph's error code, or "" where the body is no Graph error (HTML, empty, cut, a sentence in place of the code)."""
    try:
        error = msgspec.json.decode(body, type=ErrorBody).error
    except _UNREADABLE:
        return ""
    return _plain(error if isinstance(error, str) else error.code if error else None)


_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")


def _plain(code: str | None) -> str:
    """The code if it is one. Codes are shown to people and kept in Dagster; a sentence in one's place may name somebody."""
    return code if code and _CODE.fullmatch(code) else ""


_BATCH = msgspec.json.Decoder(_Batch)


def instants(texts: Sequence[str | None]) -> pa.Array:
    """ISO 8601 UTC texts as instants; what is not a time of years 1 to 9999 becomes null."""
    try:
        return pa.array(texts, pa.string()).cast(INSTANT)
    except pa.ArrowInvalid:
        return pa.array([_instant(text) for text in texts], INSTANT)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def message_batch(mailbox: str, rows: Sequence[Message], folders: Mapping[str, str]) -> pa.RecordBatch:
    """Messages as rows of STAGED_EMAIL. `folders` maps special folder ids to their class; any other is `other`.

    Sub-types of eventMessage are tagged: a meeting must not count as mail as well (B4, trap 25).
    """
    count = len(rows)
    from_ = [row.from_.emailAddress if row.from_ else None for row in rows]
    columns = [
        pa.repeat(pa.scalar(mailbox, pa.string()), count),
        pa.array([row.id for row in rows], pa.string()),
        pa.array([row.internetMessageId for row in rows], pa.string()),
        pa.array([row.conversationId for row in rows], pa.string()),
        pa.array([row.conversationIndex for row in rows], pa.string()),
        instants([row.sentDateTime for row in rows]),
        instants([row.receivedDateTime for row in rows]),
        pa.array([person.address if person else None for person in from_], pa.string()),
        pa.array([person.name if person else None for person in from_], pa.string()),
        pa.array([_address(row.sender) for row in rows], pa.string()),
        _addresses([row.toRecipients for row in rows]),
        _addresses([row.ccRecipients for row in rows]),
        pa.array([folders.get(row.parentFolderId or "", "other") for row in rows], pa.string()),
        pa.array([bool(row.isDraft) for row in rows], pa.bool_()),
        pa.array([row.kind is not None and "eventMessage" in row.kind for row in rows], pa.bool_()),
        pa.nulls(count, pa.bool_()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=STAGED_EMAIL)


def _address(person: Recipient | None) -> str | None:
    return person.emailAddress.address if person and person.emailAddress else None


def _addresses(lists: Sequence[list[Recipient] | None]) -> pa.Array:
    """Lists of recipients as lists of their addresses; one without an address (only a name) stays as null, so that it
    is counted as unresolved and not lost (trap 19)."""
    offsets = list(accumulate((len(people) if people else 0 for people in lists), initial=0))
    flat = [
        person.emailAddress.address if person.emailAddress else None for people in lists if people for person in people
    ]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat, pa.string()), type=ADDRESSES)


def meeting_batch(mailbox: str, rows: Sequence[Event]) -> pa.RecordBatch:
    """Events of a calendarView as rows of STAGED_MEETING; times were asked for in UTC."""
    count = len(rows)
    organizer = [row.organizer.emailAddress if row.organizer else None for row in rows]
    columns = [
        pa.repeat(pa.scalar(mailbox, pa.string()), count),
        pa.array([row.id for row in rows], pa.string()),
        pa.array([row.iCalUId for row in rows], pa.string()),
        pa.array([row.seriesMasterId for row in rows], pa.string()),
        pa.array([row.type for row in rows], pa.string()),
        pa.array([person.address if person else None for person in organizer], pa.string()),
        pa.array([person.name if person else None for person in organizer], pa.string()),
        pa.array([row.isOrganizer for row in rows], pa.bool_()),
        pa.array([row.responseStatus.response if row.responseStatus else None for row in rows], pa.string()),
        _attendees(rows),
        _event_instants([row.start for row in rows]),
        _event_instants([row.end for row in rows]),
        pa.array([bool(row.isAllDay) for row in rows], pa.bool_()),
        pa.array([bool(row.isCancelled) for row in rows], pa.bool_()),
        pa.array([bool(row.isDraft) for row in rows], pa.bool_()),
        pa.array([row.sensitivity for row in rows], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=STAGED_MEETING)


def _attendees(rows: Iterable[Event]) -> pa.Array:
    offsets = [0]
    people: list[Attendee] = []
    for row in rows:
        people.extend(row.attendees or ())
        offsets.append(len(people))
    fields: list[list[Any]] = [
        [person.emailAddress.address if person.emailAddress else None for person in people],
        [person.type for person in people],
        [person.status.response if person.status else None for person in people],
    ]
    flat = pa.StructArray.from_arrays(
        [pa.array(values, pa.string()) for values in fields], fields=list(ATTENDEES.value_type)
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=ATTENDEES)


def _event_instants(times: Sequence[Instant | None]) -> pa.Array:
    """`2025-03-09T20:30:00.0000000` without an offset, its zone beside it: UTC, as was asked for, or whatever the service
    sent instead. An unknown zone becomes null."""
    return instants([_instant_text(time) if time and time.dateTime else None for time in times])


def _instant_text(time: Instant) -> str | None:
    clock = (time.dateTime or "")[:26]
    if time.timeZone in UTC_ZONES:
        return f"{clock}Z"
    zone = zone_of(time.timeZone)
    try:
        return None if zone is None else datetime.fromisoformat(clock).replace(tzinfo=zone).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def is_in_unknown_zone(time: Instant) -> bool:
    return zone_of(time.timeZone) is None


def known_times(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    """The rows whose time is known; the caller counts the rest."""
    times = batch.column(column)
    return batch.filter(pc.is_valid(times)) if times.null_count else batch
