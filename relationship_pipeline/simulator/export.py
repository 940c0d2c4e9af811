"""Write the tenant as a Microsoft Graph Data Connect export folder (graph.md 5)."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from relationship_pipeline.simulator import shapes
from relationship_pipeline.simulator.crm import write_crm
from relationship_pipeline.simulator.hashing import mix
from relationship_pipeline.simulator.mailbox import FOLDERS
from relationship_pipeline.simulator.people import User
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import DAY, month_bounds

__all__ = ["write_crm", "write_export"]

_FILES = 3
_ROW = {"isUserSummaryRow": False, "userHasCompleteData": True, "userReturnedNoData": False, "errorInformation": None}


def write_export(tenant: Tenant, folder: Path, months: Sequence[str] | None = None) -> dict[str, int]:
    """Write messages, meetings, users, folders and group members below `folder`; returns rows by dataset.

    Datasets: `Message_v1`, `CalendarView_v0` (calendar of the months and the 92 days after them), `User_v1`,
    `MailFolder_v0`, `GroupMembers_v0`, each one or several `.json.gz` files of JSON lines with the columns `puser`,
    `ptenant`, `rowinformation`; a summary row ends each mailbox of Message_v1. `metadata/` is there to be skipped.
    As in a real export, guests, disabled, unlicensed, on-premises and resource accounts are left out.
    """
    months = tenant.scenario.months if months is None else months
    owners = [tenant.people.users[index] for index in tenant.people.members]
    written = {
        "Message_v1": _write(folder / "Message_v1", _messages(tenant, owners, months)),
        "CalendarView_v0": _write(folder / "CalendarView_v0", _meetings(tenant, owners, months)),
        "User_v1": _write(folder / "User_v1", _users(tenant, owners), files=1),
        "MailFolder_v0": _write(folder / "MailFolder_v0", _folders(tenant, owners, months), files=1),
        "GroupMembers_v0": _write(folder / "GroupMembers_v0", _group_members(tenant), files=1),
    }
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    (folder / "metadata" / "run.json").write_text(json.dumps({"note": "not data; a reader skips this folder"}))
    return written


def _write(folder: Path, rows: Iterable[tuple[int, dict[str, Any]]], files: int = _FILES) -> int:
    """Spread rows over files by owner, as parallel copy jobs do."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    count = 0
    parts: list[BinaryIO] = []
    try:
        for part in range(files):
            path = folder / f"JsonDataset_{mix(part):012x}.json.gz"
            # mtime 0, so that equal tenants give equal bytes
            parts.append(io.BufferedWriter(gzip.GzipFile("", "wb", 1, path.open("wb"), mtime=0), 1 << 18))
        for owner, row in rows:
            parts[owner % files].write(encoder.encode(row) + b"\n")
            count += 1
    finally:
        for file in parts:
            raw = file.raw.fileobj  # type: ignore[attr-defined]
            file.close()
            raw.close()
    return count


def _owned(row: dict[str, Any], puser: str, tenant: Tenant, kind: str, number: int) -> dict[str, Any]:
    row.pop("@odata.etag", None)
    row["ODataType"] = row.pop("@odata.type", None) or kind
    row.update(puser=puser, ptenant=tenant.tenant_id, pAdditionalInfo=None, datarow=number, userrow=number, pagerow=0,
               rowinformation=_ROW)  # fmt: skip
    return row


def _messages(tenant: Tenant, owners: Sequence[User], months: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    start, end = month_bounds(months[0])[0], month_bounds(months[-1])[1]
    for user in owners:
        shape = shapes.message_shaper(shapes.MESSAGE_FIELDS, tenant.ids(user.index), tenant.now, False)
        copies = tenant.messages(user.index, start, end)
        for number, copy in enumerate(copies):
            yield user.index, _owned(shape(copy), user.oid, tenant, "#microsoft.graph.message", number)
        summary = {**_ROW, "isUserSummaryRow": True, "userReturnedNoData": not copies}
        empty = dict.fromkeys(shapes.MESSAGE_FIELDS)
        yield user.index, {**_owned(empty, user.oid, tenant, "#microsoft.graph.message", 0), "rowinformation": summary}


def _decorate(row: dict[str, Any]) -> dict[str, Any]:
    """Write enum values as Data Connect does: `microsoft.graph.responseType'accepted'`."""
    row["responseStatus"]["response"] = f"microsoft.graph.responseType'{row['responseStatus']['response']}'"
    for attendee in row["attendees"]:
        attendee["type"] = f"microsoft.graph.attendeeType'{attendee['type']}'"
        attendee["status"]["response"] = f"microsoft.graph.responseType'{attendee['status']['response']}'"
    return row


def _meetings(tenant: Tenant, owners: Sequence[User], months: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    start, end = month_bounds(months[0])[0], month_bounds(months[-1])[1] + 92 * DAY
    for user in owners:
        ids = tenant.ids(user.index)
        for number, meeting in enumerate(tenant.calendar(user.index, start, end)):
            row = _decorate(shapes.event(meeting, user.index, ids, tenant.now, False))
            yield user.index, _owned(row, user.oid, tenant, "#microsoft.graph.event", number)


def _users(tenant: Tenant, owners: Sequence[User]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, user in enumerate(owners):
        yield 0, _owned(shapes.user(user, tenant.now), user.oid, tenant, "#microsoft.graph.user", number)


def _folders(tenant: Tenant, owners: Sequence[User], months: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for user in owners:
        ids = tenant.ids(user.index)
        for folder in FOLDERS[1:]:
            if not folder.search:
                row = shapes.folder(folder, ids, shapes.speaks_german(user), 0, 0)
                yield 0, _owned(row, user.oid, tenant, "#microsoft.graph.mailFolder", folder.number)


def _group_members(tenant: Tenant) -> Iterator[tuple[int, dict[str, Any]]]:
    """Direct members; nested groups stand as members of type group. The group's id is in pObjectId and puser."""
    for group in tenant.people.groups.values():
        members: list[tuple[str, str | None, str, str]] = []
        for index in sorted(group.users):
            user = tenant.people.users[index]
            members.append((user.oid, user.upn, user.display_name, "#microsoft.graph.user"))
        for nested in sorted(group.groups):
            members.append((nested, None, tenant.people.groups[nested].name, "#microsoft.graph.group"))
        for number, (member, upn, name, kind) in enumerate(members):
            row = {"id": member, "userPrincipalName": upn, "displayName": name}
            yield 0, {**_owned(row, group.group_id, tenant, kind, number), "pObjectId": group.group_id}
