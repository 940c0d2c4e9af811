"""What is read of Message_v1 and of the calendar datasets, as columns of DuckDB's JSON reader."""

from __future__ import annotations

from typing import Any

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


def spelled(key: str, pascal: bool) -> str:
    return key if key in _ADDED or not pascal else key[0].upper() + key[1:]


def duckdb_type(shape: Any, pascal: bool) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, list):
        return f"{duckdb_type(shape[0], pascal)}[]"
    pascal = pascal and shape is not _ROW_INFORMATION
    fields = ", ".join(f'"{spelled(key, pascal)}" {duckdb_type(value, pascal)}' for key, value in shape.items())
    return f"STRUCT({fields})"
