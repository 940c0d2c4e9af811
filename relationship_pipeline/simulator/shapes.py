"""How Graph writes things: ids, messages, events, folders, users and groups as plain data ready for JSON.

Layouts of the binary ids were read off real ids: 00 03/04 24 00, the mailbox GUID as 36 ASCII letters, a length, and an
entry id; immutable ids are 51 bytes that begin 00 09 00 2E.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from relationship_pipeline.simulator.hashing import guid, mix
from relationship_pipeline.simulator.mail import CANCELLED, REQUEST, conversation_guid
from relationship_pipeline.simulator.mailbox import FOLDERS, Copy, Folder
from relationship_pipeline.simulator.meetings import Meeting, windows_date
from relationship_pipeline.simulator.people import Group, People, Recipient, User
from relationship_pipeline.simulator.times import DAY, ZERO_TIME, iso, iso7

_PROVIDER = bytes.fromhex("1d840311aa6611cd9bc800aa002fc45a")
_FILETIME_1970 = 116444736000000000
_NOTHING: tuple[msgspec.Raw, ...] = ()
_MEETING_TYPES = (None, None, "meetingRequest", "meetingAccepted", "meetingTenativelyAccepted", "meetingDeclined",
                  "meetingCancelled")  # fmt: skip

MESSAGE_FIELDS = (
    "id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime", "sentDateTime",
    "hasAttachments", "internetMessageId", "importance", "parentFolderId", "conversationId", "conversationIndex",
    "isDeliveryReceiptRequested", "isReadReceiptRequested", "isRead", "isDraft", "inferenceClassification",
    "sender", "from", "toRecipients", "ccRecipients", "bccRecipients", "replyTo",
)  # fmt: skip
BODY_FIELDS = frozenset({"body", "bodyPreview", "uniqueBody", "attachments", "internetMessageHeaders", "webLink"})


def exchange_base64(raw: bytes) -> str:
    """Base64 as Exchange writes ids: `-` for `/` and `_` for `+` (the other way round than RFC 4648's second alphabet)."""
    return b64encode(raw, altchars=b"_-").decode()


class MailboxIds:
    """Makes the ids of one mailbox."""

    def __init__(self, oid: str) -> None:
        self.guid = guid("mailbox", oid)
        self._store = UUID(guid("store", oid)).bytes
        head = b"\x24\x00" + self.guid.encode()
        self._conversation = b"\x00\x04" + head + b"\x00\x10\x00"
        self._item = b"\x00\x03" + head + b"\x00\x46\x00" + bytes(4) + _PROVIDER[::-1] + b"\x07\x00" + self._store
        self._folder = b"\x00\x03" + head + b"\x00\x2e\x00" + bytes(4) + _PROVIDER[::-1] + b"\x01\x00" + self._store
        self._immutable = b"\x00\x09\x00\x2e\x00" + bytes(4) + _PROVIDER + b"\x0d\x00" + self._store

    def conversation(self, conversation: bytes) -> str:
        """conversationId: 59 bytes, the last 16 the conversation's GUID (product.md B7)."""
        return exchange_base64(self._conversation + conversation)

    def item(self, number: int, folder: int) -> str:
        """A default id: it holds the folder, so it changes on a move."""
        counters = folder.to_bytes(6, "big") + b"\x00\x00" + self._store + (number >> 16).to_bytes(6, "big")
        return exchange_base64(self._item + counters + b"\x00\x00")

    def immutable(self, number: int) -> str:
        """An immutable id: it holds no folder."""
        return exchange_base64(self._immutable + (number >> 16).to_bytes(6, "big") + b"\x00\x00")

    @lru_cache(maxsize=64)  # noqa: B019 - one small table a mailbox
    def folder(self, folder: int) -> str:
        """A folder's id; folders have no immutable form."""
        return exchange_base64(self._folder + (0x100 + folder).to_bytes(6, "big") + b"\x00\x00")

    def folder_number(self, folder_id: str) -> int | None:
        """The folder with this id; ids are case-sensitive."""
        return next((f.number for f in FOLDERS if self.folder(f.number) == folder_id), None)


def conversation_index(copy: Copy) -> str:
    """conversationIndex: 22 bytes (six of time, the conversation's GUID) and 5 more for each message before."""
    email = copy.email
    filetime = _FILETIME_1970 + email.opened * 10_000_000
    head = filetime.to_bytes(8, "big")[:6] + conversation_guid(email)
    tail = (email.key & 0xFF_FFFF_FFFF).to_bytes(5, "big") * email.depth
    return b64encode(head + tail).decode()


def _raws(people: tuple[Recipient, ...]) -> list[msgspec.Raw] | tuple[msgspec.Raw, ...]:
    return [person.raw for person in people] if people else _NOTHING


def _raw(person: Recipient | None) -> msgspec.Raw | None:
    return person.raw if person else None


# One function a property: (copy, ids, now, immutable) -> value. A page calls only those that were selected.
_Getter = Callable[[Copy, MailboxIds, int, bool], Any]
_MESSAGE: Mapping[str, _Getter] = {
    "id": lambda c, ids, now, imm: ids.immutable(c.number) if imm else ids.item(c.number, 256 + c.folder_at(now)),
    "createdDateTime": lambda c, ids, now, imm: iso(c.created),
    "lastModifiedDateTime": lambda c, ids, now, imm: iso(c.modified_at(now)),
    "changeKey": lambda c, ids, now, imm: b64encode(b"\x09\0\0\0\x16\0\0\0" + c.number.to_bytes(8, "big")).decode(),
    "categories": lambda c, ids, now, imm: (),
    "receivedDateTime": lambda c, ids, now, imm: iso(c.received),
    "sentDateTime": lambda c, ids, now, imm: iso(c.email.sent_header),
    "hasAttachments": lambda c, ids, now, imm: c.email.attachments,
    "internetMessageId": lambda c, ids, now, imm: c.email.message_id,
    "importance": lambda c, ids, now, imm: "normal",
    "parentFolderId": lambda c, ids, now, imm: ids.folder(c.folder_at(now)),
    "conversationId": lambda c, ids, now, imm: ids.conversation(conversation_guid(c.email)),
    "conversationIndex": lambda c, ids, now, imm: conversation_index(c),
    "isDeliveryReceiptRequested": lambda c, ids, now, imm: None,
    "isReadReceiptRequested": lambda c, ids, now, imm: False,
    "isRead": lambda c, ids, now, imm: c.number & 7 != 0,
    "isDraft": lambda c, ids, now, imm: c.email.kind == 1,
    "inferenceClassification": lambda c, ids, now, imm: "other" if c.email.bulk else "focused",
    "sender": lambda c, ids, now, imm: _raw(c.email.sender),
    "from": lambda c, ids, now, imm: _raw(c.email.from_),
    "toRecipients": lambda c, ids, now, imm: _raws(c.email.to),
    "ccRecipients": lambda c, ids, now, imm: _raws(c.email.cc),
    "bccRecipients": lambda c, ids, now, imm: (
        _raws(c.email.bcc) if c.email.bcc and c.mailbox == c.email.sender_index else _NOTHING
    ),
    "replyTo": lambda c, ids, now, imm: _NOTHING,
    "subject": lambda c, ids, now, imm: f"Simulated subject {c.email.conversation & 0xFFFF}",
}
_CAST_MEETING_TYPE = "microsoft.graph.eventMessage/meetingMessageType"
SELECTABLE_MESSAGE = frozenset(_MESSAGE) | BODY_FIELDS | {_CAST_MEETING_TYPE}


def message_type(copy: Copy) -> str | None:
    """The `@odata.type` of a message that is about a meeting, None for others."""
    kind = copy.email.kind
    if kind < REQUEST:
        return None
    if kind == REQUEST:
        return "#microsoft.graph.eventMessageRequest"
    return "#microsoft.graph.eventMessage" if kind == CANCELLED else "#microsoft.graph.eventMessageResponse"


def message_shaper(select: Sequence[str], ids: MailboxIds, now: int, immutable: bool) -> Callable[[Copy], dict]:
    """A function from a copy to a message with the selected properties, in Graph's order of annotations first."""
    getters = [(name, _MESSAGE[name]) for name in select if name in _MESSAGE]
    etag = _MESSAGE["changeKey"]
    # A property of the derived type comes when it is asked for by its cast, or when nothing is selected.
    typed = select is MESSAGE_FIELDS or _CAST_MEETING_TYPE in select

    def shape(copy: Copy) -> dict:
        shaped: dict[str, Any] = {}
        kind = copy.email.kind
        if kind >= REQUEST:
            shaped["@odata.type"] = message_type(copy)
            if typed:
                shaped["meetingMessageType"] = _MEETING_TYPES[kind]
        shaped["@odata.etag"] = f'W/"{etag(copy, ids, now, immutable)}"'
        for name, getter in getters:
            shaped[name] = getter(copy, ids, now, immutable)
        return shaped

    return shape


# --- events -------------------------------------------------------------------------------------------------------

EVENT_FIELDS = (
    "id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "transactionId",
    "originalStartTimeZone", "originalEndTimeZone", "iCalUId", "reminderMinutesBeforeStart", "isReminderOn",
    "hasAttachments", "importance", "sensitivity", "originalStart", "isAllDay", "isCancelled", "isOrganizer",
    "isDraft", "responseRequested", "seriesMasterId", "showAs", "type", "onlineMeetingUrl", "isOnlineMeeting",
    "onlineMeetingProvider", "allowNewTimeProposals", "hideAttendees", "responseStatus", "start", "end", "attendees",
    "organizer", "recurrence",
)  # fmt: skip
SELECTABLE_EVENT = frozenset(EVENT_FIELDS) | BODY_FIELDS | {"subject", "location", "locations", "onlineMeeting"}


def ical_uid(meeting: Meeting) -> str:
    """iCalUId: shared by the copies of a meeting, different for each occurrence of a series."""
    date = windows_date(meeting.original_start) if meeting.series else "00000000"
    unique = mix(meeting.series or meeting.uid)
    filetime = (_FILETIME_1970 + meeting.created * 10_000_000).to_bytes(8, "little").hex().upper()
    return f"040000008200E00074C5B7101A82E008{date}{filetime}000000000000000010000000{unique:016X}{mix(unique):016X}"


def on_calendar(meeting: Meeting, mailbox: int, now: int) -> bool:
    """Whether the meeting stands in this mailbox's calendar at this time: arranged already, and not tidied away."""
    if now < meeting.created:
        return False
    own = meeting.organizer.user == mailbox
    if own:
        return not (meeting.cancelled and now >= meeting.modified)  # the organizer's copy goes with the cancellation
    mine = next((a for a in meeting.attendees if a.person.user == mailbox), None)
    return not (mine and mine.response == "declined" and mix(meeting.uid ^ mailbox) & 1 and now >= mine.responded)


def event(meeting: Meeting, mailbox: int, ids: MailboxIds, now: int, immutable: bool) -> dict[str, Any]:
    """A calendar copy with every metadata property; answers of others are known to the organizer only."""
    own = meeting.organizer.user == mailbox
    mine = next((a for a in meeting.attendees if a.person.user == mailbox), None)
    number = mix(meeting.uid ^ 77)
    master = ids.item(mix(meeting.series ^ 78), 512) if meeting.series else None

    def answer(response: str, responded: int) -> dict[str, str]:
        known = responded and responded <= now
        return {"response": response if known else "none", "time": iso(responded) if known else ZERO_TIME}

    attendees = [
        {
            "type": attendee.kind,
            "status": answer(attendee.response, attendee.responded if own or attendee is mine else 0),
            "emailAddress": {"name": attendee.person.name, "address": attendee.person.address},
        }
        for attendee in meeting.attendees
    ]
    if own:
        status = {"response": "organizer", "time": ZERO_TIME}
    else:
        status = answer(mine.response, mine.responded) if mine else {"response": "notResponded", "time": ZERO_TIME}
    cancelled = meeting.cancelled and now >= meeting.modified
    change = b64encode(number.to_bytes(8, "big") + bytes(14)).decode()
    return {
        "@odata.etag": f'W/"{change}"',
        "id": ids.immutable(number) if immutable else ids.item(number, 513),
        "createdDateTime": iso(meeting.created),
        "lastModifiedDateTime": iso(meeting.modified if meeting.modified <= now else meeting.created),
        "changeKey": change,
        "categories": [],
        "transactionId": None,
        "originalStartTimeZone": "UTC",
        "originalEndTimeZone": "UTC",
        "iCalUId": ical_uid(meeting),
        "reminderMinutesBeforeStart": 15,
        "isReminderOn": True,
        "hasAttachments": False,
        "importance": "normal",
        "sensitivity": "private" if meeting.private else "normal",
        "originalStart": iso(meeting.original_start) if meeting.series else None,
        "isAllDay": meeting.all_day,
        "isCancelled": cancelled,
        "isOrganizer": own,
        "isDraft": False,
        "responseRequested": True,
        "seriesMasterId": master,
        "showAs": "free" if cancelled else "oof" if meeting.all_day else "busy",
        "type": meeting.kind,
        "onlineMeetingUrl": None,
        "isOnlineMeeting": meeting.online,
        "onlineMeetingProvider": "teamsForBusiness" if meeting.online else "unknown",
        "allowNewTimeProposals": True,
        "hideAttendees": False,
        "responseStatus": status,
        "start": {"dateTime": iso7(meeting.start), "timeZone": "UTC"},
        "end": {"dateTime": iso7(meeting.end), "timeZone": "UTC"},
        "attendees": attendees,
        "organizer": {
            "emailAddress": {"name": meeting.organizer.name, "address": meeting.organizer.address},
        },
        "recurrence": None,
    }


def speaks_german(owner: User) -> bool:
    """Whether the mailbox shows German folder names: names cannot tell folders apart, well-known names can."""
    return mix(owner.index ^ 0x6E) % 12 == 0


def folder(found: Folder, ids: MailboxIds, german: bool, total: int, unread: int) -> dict[str, Any]:
    """A mail folder. Search folders carry a type, since they repeat other folders' messages."""
    shaped: dict[str, Any] = {"@odata.type": "#microsoft.graph.mailSearchFolder"} if found.search else {}
    shaped.update(
        id=ids.folder(found.number), displayName=found.german if german else found.name,
        parentFolderId=ids.folder(found.parent),
        childFolderCount=sum(f.parent == found.number and f.number != 0 for f in FOLDERS),
        unreadItemCount=unread, totalItemCount=total, sizeInBytes=total * 41_000, isHidden=found.hidden,
    )  # fmt: skip
    return shaped


# --- directory ----------------------------------------------------------------------------------------------------

USER_FIELDS = (
    "id", "userPrincipalName", "mail", "proxyAddresses", "displayName", "givenName", "surname", "jobTitle",
    "department", "accountEnabled", "userType", "createdDateTime", "assignedLicenses", "assignedPlans",
    "onPremisesSyncEnabled", "onPremisesExtensionAttributes", "mailNickname", "otherMails", "companyName",
    "businessPhones", "mobilePhone", "officeLocation", "preferredLanguage",
)  # fmt: skip
DEFAULT_USER_FIELDS = ("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone",
                       "officeLocation", "preferredLanguage", "surname", "userPrincipalName", "id")  # fmt: skip
SKU_SALES_PREMIUM = "2edaa1dc-966d-4475-93d6-8ee8dfd96877"
SKU_E3 = "05e9a617-0261-4cee-bb44-138d3ef5d965"
PLAN_EXCHANGE = "efb87545-963c-4e0d-99df-69c6916d9eb0"


def user(person: User, now: int, extensions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A directory user with every property the simulator knows."""
    enabled = person.enabled and (person.kind != "member" or person.left is None or now < person.left)
    attributes: dict[str, str | None] = {f"extensionAttribute{n}": None for n in range(1, 16)}
    attributes.update(extensions or {})
    plans = [{"assignedDateTime": iso(person.created), "capabilityStatus": "Enabled", "service": "exchange",
              "servicePlanId": PLAN_EXCHANGE}]  # fmt: skip
    return {
        "id": person.oid,
        "userPrincipalName": person.upn,
        "mail": person.mail,
        "proxyAddresses": list(person.proxy_addresses),
        "displayName": person.display_name,
        "givenName": person.name.given if person.department else None,
        "surname": person.name.surname if person.department else None,
        "jobTitle": person.title,
        "department": person.department,
        "accountEnabled": enabled,
        "userType": person.user_type,
        "createdDateTime": iso(person.created // DAY * DAY),
        "assignedLicenses": [{"disabledPlans": [], "skuId": SKU_E3}] if person.licensed else [],
        "assignedPlans": plans if person.licensed else [],
        "onPremisesSyncEnabled": True if person.kind == "on_premises" else None,
        "onPremisesExtensionAttributes": attributes,
        "mailNickname": person.upn.partition("@")[0],
        "otherMails": [person.personal_address] if person.personal_address else [],
        "companyName": None,
        "businessPhones": [],
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": "en-US",
    }


GROUP_FIELDS = ("id", "displayName", "mail", "mailEnabled", "mailNickname", "securityEnabled", "groupTypes",
                "membershipRule", "description", "createdDateTime", "visibility")  # fmt: skip


def group(found: Group, people: People) -> dict[str, Any]:
    """A directory group."""
    return {
        "id": found.group_id,
        "displayName": found.name,
        "mail": found.mail,
        "mailEnabled": found.mail is not None,
        "mailNickname": found.mail.partition("@")[0] if found.mail else found.group_id[:8],
        "securityEnabled": found.security,
        "groupTypes": ["DynamicMembership"] if found.rule else [],
        "membershipRule": found.rule,
        "description": None,
        "createdDateTime": iso(people.scenario.window[0] - 400 * DAY),
        "visibility": None,
    }
