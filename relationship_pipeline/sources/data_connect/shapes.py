"""What is read of the export's datasets: of mail and calendars as columns of DuckDB's JSON reader, of the small ones as typed
rows."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

_RECIPIENT = {"emailAddress": {"name": "VARCHAR", "address": "VARCHAR"}}
_ROW_INFORMATION = {
    "isUserSummaryRow": "BOOLEAN",
    "userHasCompleteData": "BOOLEAN",
    "userReturnedNoData": "BOOLEAN",
    "errorInformation": "VARCHAR",
}
_CLOCK = {"dateTime": "VARCHAR", "timeZone": "VARCHAR"}
_ADDED = frozenset({"puser", "rowinformation", "ODataType", "@odata.type", "pObjectId"})
"""Keys that Data Connect adds itself: spelled alike in v0 and v1."""

MESSAGE: dict[str, Any] = {
    "id": "VARCHAR",
    "internetMessageId": "VARCHAR",
    "conversationId": "VARCHAR",
    "conversationIndex": "VARCHAR",
    "sentDateTime": "VARCHAR",
    "receivedDateTime": "VARCHAR",
    "createdDateTime": "VARCHAR",
    "from": _RECIPIENT,
    "sender": _RECIPIENT,
    "toRecipients": [_RECIPIENT],
    "ccRecipients": [_RECIPIENT],
    "parentFolderId": "VARCHAR",
    "isDraft": "BOOLEAN",
    "meetingMessageType": "VARCHAR",
    "internetMessageHeaders": [{"name": "VARCHAR", "value": "VARCHAR"}],
    "ODataType": "VARCHAR",
    "@odata.type": "VARCHAR",
    "puser": "VARCHAR",
    "rowinformation": _ROW_INFORMATION,
}
EVENT: dict[str, Any] = {
    "id": "VARCHAR",
    "iCalUId": "VARCHAR",
    "seriesMasterId": "VARCHAR",
    "type": "VARCHAR",
    "organizer": _RECIPIENT,
    "isOrganizer": "BOOLEAN",
    "responseStatus": {"response": "VARCHAR"},
    "attendees": [{"type": "VARCHAR", "status": {"response": "VARCHAR"}} | _RECIPIENT],
    "start": _CLOCK,
    "end": _CLOCK,
    "isAllDay": "BOOLEAN",
    "isCancelled": "BOOLEAN",
    "isDraft": "BOOLEAN",
    "sensitivity": "VARCHAR",
    "puser": "VARCHAR",
    "rowinformation": _ROW_INFORMATION,
}


class RowInformation(msgspec.Struct, frozen=True):
    """What Data Connect says of a row. As all rows below: keys in lower case, whatever the export's spelling."""

    isusersummaryrow: bool | None = None


class Row(msgspec.Struct, frozen=True):
    """Of a small dataset."""

    id: str | None = None
    puser: str | None = None
    rowinformation: RowInformation | None = None

    @property
    def is_summary(self) -> bool:
        return self.rowinformation is not None and self.rowinformation.isusersummaryrow is True


class UserRow(Row, frozen=True):
    """User_v1."""

    displayname: str | None = None
    mail: str | None = None
    userprincipalname: str | None = None
    proxyaddresses: list[str | None] | None = None
    usertype: str | None = None
    accountenabled: bool | None = None
    onpremisesextensionattributes: dict[str, Any] | None = None


class GroupMemberRow(Row, frozen=True):
    """GroupMembers_v0."""

    groupid: str | None = None
    pobjectid: str | None = None
    odatatype: str | None = None
    graph_type: str | None = msgspec.field(name="@odata.type", default=None)


class MailFolderRow(Row, frozen=True):
    """MailFolder_v0."""

    displayname: str | None = None
    wellknownname: str | None = None
    parentfolderid: str | None = None


class Spelling(StrEnum):
    """How an export writes its keys: as Graph does, as v0 exports do (`ReceivedDateTime`), or by a tool that knows no case
    (graph.md 5: the reader folds it)."""

    CAMEL = "camel"
    PASCAL = "pascal"
    LOWER = "lower"


def spelled(key: str, spelling: Spelling) -> str:
    if spelling is Spelling.LOWER:
        return key.lower()
    return key[0].upper() + key[1:] if spelling is Spelling.PASCAL and key not in _ADDED else key


def duckdb_type(shape: Any, spelling: Spelling) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"{duckdb_type(shape[0], spelling)}[]"
    if shape is _ROW_INFORMATION and spelling is Spelling.PASCAL:
        spelling = Spelling.CAMEL
    fields = ", ".join(f'"{spelled(key, spelling)}" {duckdb_type(value, spelling)}' for key, value in shape.items())
    return f"STRUCT({fields})"
