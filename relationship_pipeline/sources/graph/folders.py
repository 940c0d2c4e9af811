"""Which folders of a mailbox are drafts, junk, deleted and the like (product.md B6, graph.md 1.3).

Folder names are in the owner's language and v1.0 has no well-known name on a folder, so each well-known name is asked
for by mailbox; sub-folders inherit the class of the one they lie in. Asking costs as much as a small mailbox's mail, so
the answer is remembered for a week, in the epoch.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from relationship_pipeline.sources.graph.client import GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.wire import Folder, object_decoder, page_decoder

WELL_KNOWN = {
    "drafts": "drafts",
    "junkemail": "junk",
    "deleteditems": "deleted",
    "outbox": "outbox",
    "syncissues": "sync_issues",
    "conflicts": "sync_issues",
    "localfailures": "sync_issues",
    "serverfailures": "sync_issues",
    "conversationhistory": "conversation_history",
}
"""Well-known folder name to `folder_class`; every other folder is `other`."""

REMEMBERED = timedelta(days=7)
DEEPEST = 20
_FOLDER = object_decoder(Folder)
_FOLDERS = page_decoder(Folder)


async def special_folders(client: GraphClient, mailbox: str) -> dict[str, str]:
    """Ids of a mailbox's special folders and all below them, with their class. Raises GraphFault."""
    found: dict[str, str] = {}
    for name, folder_class in WELL_KNOWN.items():
        url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/{name}?$select=id,childFolderCount"
        try:
            folder = await client.fetch(url, mailbox, _FOLDER)
        except GraphFault as fault:
            if fault.kind is Kind.NOT_FOUND:
                continue
            raise
        await _below(client, mailbox, folder, folder_class, found, 0)
    return found


async def _below(
    client: GraphClient, mailbox: str, folder: Folder, folder_class: str, found: dict[str, str], depth: int
) -> None:
    """Note a folder and its children. Search folders repeat other folders' mail and hold none (trap 30)."""
    if folder.id in found or "mailSearchFolder" in (folder.kind or ""):
        return
    found[folder.id] = folder_class
    if not folder.childFolderCount or depth >= DEEPEST:
        return
    url: str | None = (
        f"{client.base}/users/{quoted(mailbox)}/mailFolders/{quoted(folder.id)}/childFolders"
        "?includeHiddenFolders=true&$select=id,childFolderCount&$top=100"
    )
    links = set()
    while url is not None and url not in links:
        links.add(url)
        try:
            page = await client.fetch(url, mailbox, _FOLDERS)
        except GraphFault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return
            raise
        for child in page.rows:
            await _below(client, mailbox, child, folder_class, found, depth + 1)
        url = page.next_link


class FolderBook:
    """Special folders by mailbox, remembered in one SQLite file of the epoch."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        self._now = now
        with self._open() as db:
            db.execute("create table if not exists special_folders (mailbox text primary key, read_at text, ids blob)")

    def _open(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.execute("pragma secure_delete = on")
        return closing(connection)

    def get(self, mailbox: str) -> dict[str, str] | None:
        with self._open() as db:
            row = db.execute("select read_at, ids from special_folders where mailbox = ?", (mailbox,)).fetchone()
        if row is None or self._now - datetime.fromisoformat(row[0]) > REMEMBERED:
            return None
        return msgspec.json.decode(row[1], type=dict[str, str])

    def put(self, mailbox: str, folders: dict[str, str]) -> None:
        with self._open() as db:
            db.execute(
                "insert or replace into special_folders values (?, ?, ?)",
                (mailbox, self._now.isoformat(), msgspec.json.encode(folders)),
            )
