"""Which folders of a mailbox are drafts, junk, deleted and the like (product.md B6, graph.md 1.3).

Folder names are in the owner's language and v1.0 has no well-known name on a folder, so each well-known name is asked
for; sub-folders inherit the class of the one they lie in.
"""

from __future__ import annotations

from relationship_pipeline.domain.folders import WELL_KNOWN
from relationship_pipeline.sources.graph.client import GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.listing import read_all
from relationship_pipeline.sources.graph.wire import Folder, object_decoder, page_decoder

ASKED = ("junkemail", "deleteditems", "syncissues", "conversationhistory")
"""Conflicts, local and server failures lie below syncissues; what lies in drafts and outbox says so itself (isDraft)."""
DEEPEST = 20
_FOLDER = object_decoder(Folder)
_FOLDERS = page_decoder(Folder)


async def special_folders(client: GraphClient, mailbox: str) -> dict[str, str]:
    """Ids of a mailbox's special folders and all below them, with their class (domain/folders.py). Raises GraphFault."""
    found: dict[str, str] = {}
    for name in ASKED:
        url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/{name}?$select=id,childFolderCount"
        try:
            folder = await client.fetch(url, mailbox, _FOLDER)
        except GraphFault as fault:
            if fault.kind is Kind.NOT_FOUND:
                continue
            raise
        await _note(client, mailbox, folder, WELL_KNOWN[name], found, 0)
    return found


async def _note(
    client: GraphClient, mailbox: str, folder: Folder, folder_class: str, found: dict[str, str], depth: int
) -> None:
    """Note a folder and its children. Search folders repeat other folders' mail and hold none (trap 30)."""
    if folder.id in found or "mailSearchFolder" in (folder.kind or ""):
        return
    found[folder.id] = folder_class
    if not folder.childFolderCount or depth >= DEEPEST:
        return
    url = (
        f"{client.base}/users/{quoted(mailbox)}/mailFolders/{quoted(folder.id)}/childFolders"
        "?includeHiddenFolders=true&$select=id,childFolderCount&$top=100"
    )
    try:
        children = await read_all(client, url, mailbox, _FOLDERS, lambda child: child.id)
    except GraphFault as fault:
        if fault.kind is Kind.NOT_FOUND:
            return
        raise
    for child in children:
        await _note(client, mailbox, child, folder_class, found, depth + 1)
