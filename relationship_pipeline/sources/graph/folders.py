"""Which folders of a mailbox are junk, deleted and the like (product.md B6, graph.md 1.3).

Folder names are in the owner's language and v1.0 has no well-known name on a folder, so each well-known name is asked
for; sub-folders inherit the class of the one they lie in. All questions of a mailbox go in one batch, because they would
otherwise cost more than its mail; whatever the batch leaves open is asked for by itself.
"""

from __future__ import annotations

from relationship_pipeline.domain.folders import WELL_KNOWN
from relationship_pipeline.sources.graph.batch import Question, ask
from relationship_pipeline.sources.graph.client import GraphClient, quoted
from relationship_pipeline.sources.graph.faults import GraphFault, Kind, classify
from relationship_pipeline.sources.graph.listing import read_all
from relationship_pipeline.sources.graph.wire import (
    BadPage,
    BatchPart,
    Folder,
    error_code,
    object_decoder,
    page_decoder,
)

ASKED = ("junkemail", "deleteditems", "syncissues", "conversationhistory")
"""Conflicts, local and server failures lie below syncissues; what lies in drafts and outbox says so itself (isDraft)."""
PARTS = ("junkemail", "deleteditems", "syncissues", "children", "conversationhistory")
"""Of the batch, each waiting for the one before: Graph would run 4 at once, and go on after it has throttled one. Every
mailbox has the first two."""
CHILDREN = "childFolders?includeHiddenFolders=true&$select=id,childFolderCount&$top=100"
DEEPEST = 20
_FOLDER = object_decoder(Folder)
_FOLDERS = page_decoder(Folder)


async def special_folders(client: GraphClient, mailbox: str) -> dict[str, str]:
    """Ids of a mailbox's special folders and all below them, with their class (domain/folders.py). Raises GraphFault."""
    parts = await _ask_at_once(client, mailbox)
    found: dict[str, str] = {}
    for name in ASKED:
        folder = _answered(parts.get(name))
        if folder is None and not _is_absent(parts.get(name)):
            folder = await _ask(client, mailbox, name)
        if folder is not None:
            known = _children(parts.get("children"), folder) if name == "syncissues" else None
            await _note(client, mailbox, folder, WELL_KNOWN[name], found, 0, known)
    return found


async def _ask_at_once(client: GraphClient, mailbox: str) -> dict[str, BatchPart]:
    """The answers that one batch brings, by well-known name, and `children` of syncissues; none where the service has
    no batches or would not answer this one."""
    place = f"/users/{quoted(mailbox)}/mailFolders"
    urls = {name: f"{place}/{name}?$select=id,childFolderCount" for name in ASKED}
    urls["children"] = f"{place}/syncissues/{CHILDREN}"
    questions = {name: Question(urls[name], mailbox, after) for after, name in zip((None, *PARTS), PARTS, strict=False)}
    return await ask(client, mailbox, questions)


def _answered(part: BatchPart | None) -> Folder | None:
    if part is None or part.status != 200:
        return None
    try:
        return _FOLDER(bytes(part.body))
    except BadPage:
        return None


def _is_absent(part: BatchPart | None) -> bool:
    """Whether the mailbox has no such folder; any other failure is asked again by itself."""
    if part is None or part.status != 404:
        return False
    code = error_code(bytes(part.body))
    return classify(404, code, empty=not code) is Kind.NOT_FOUND


def _children(part: BatchPart | None, folder: Folder) -> list[Folder] | None:
    """The children in the batch, if they are all of them."""
    if part is None or part.status != 200:
        return None
    try:
        page = _FOLDERS(bytes(part.body))
    except BadPage:
        return None
    return page.rows if page.next_link is None and len(page.rows) == (folder.childFolderCount or 0) else None


async def _ask(client: GraphClient, mailbox: str, name: str) -> Folder | None:
    url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/{name}?$select=id,childFolderCount"
    try:
        return await client.fetch(url, mailbox, _FOLDER)
    except GraphFault as fault:
        if fault.kind is Kind.NOT_FOUND:
            return None
        raise


async def _note(
    client: GraphClient,
    mailbox: str,
    folder: Folder,
    folder_class: str,
    found: dict[str, str],
    depth: int,
    children: list[Folder] | None = None,
) -> None:
    """Note a folder and its children. Search folders repeat other folders' mail and hold none (trap 30)."""
    if folder.id in found or "mailSearchFolder" in (folder.kind or ""):
        return
    found[folder.id] = folder_class
    if not folder.childFolderCount or depth >= DEEPEST:
        return
    if children is None:
        url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/{quoted(folder.id)}/{CHILDREN}"
        try:
            children = await read_all(client, url, mailbox, _FOLDERS, lambda child: child.id)
        except GraphFault as fault:
            if fault.kind is Kind.NOT_FOUND:
                return
            raise
    for child in children:
        await _note(client, mailbox, child, folder_class, found, depth + 1)
