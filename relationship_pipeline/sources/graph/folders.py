"""Which folders of a mailbox are junk, deleted and the like (product.md B6, graph.md 1.3).

Folder names are in the owner's language and v1.0 has no well-known name on a folder, so each well-known name is asked
for; sub-folders inherit the class of the one they lie in. The questions go in batches over many mailboxes, because they
would otherwise cost more than the mail; whatever a batch leaves open is asked for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

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

ASKED = ("junkemail", "deleteditems", "conversationhistory", "syncissues")
"""Conflicts, local and server failures lie below syncissues; what lies in drafts and outbox says so itself (isDraft)."""
FOLDER = "$select=id,childFolderCount"
CHILDREN = "childFolders?includeHiddenFolders=true&$select=id,childFolderCount&$top=100"
DEEPEST = 20
_FOLDER = object_decoder(Folder)
_FOLDERS = page_decoder(Folder)


async def special_folders(client: GraphClient, mailbox: str) -> dict[str, str]:
    """Ids of a mailbox's special folders and all below them, with their class (domain/folders.py). Raises GraphFault."""
    return await _classes(client, mailbox, {name: await _ask(client, mailbox, name) for name in ASKED})


async def special_folders_of(client: GraphClient, mailboxes: Sequence[str]) -> dict[str, dict[str, str]]:
    """The same of up to 20 mailboxes, as far as batches tell.

    A batch asks each mailbox one thing: so no mailbox has two requests at once, and one that is throttled is asked
    nothing more here.
    """
    roots: dict[str, dict[str, Folder | None]] = {mailbox: {} for mailbox in mailboxes}
    for name in ASKED:
        parts = await _ask_each(client, list(roots), f"{name}?{FOLDER}")
        for mailbox in list(roots):
            folder = _answered(parts.get(mailbox))
            if folder is None and not _is_absent(parts.get(mailbox)):
                del roots[mailbox]
            else:
                roots[mailbox][name] = folder
    below = [
        mailbox for mailbox, folders in roots.items() if (folder := folders["syncissues"]) and folder.childFolderCount
    ]
    parts = await _ask_each(client, below, f"syncissues/{CHILDREN}")
    found = {}
    for mailbox, folders in roots.items():
        with suppress(GraphFault):
            found[mailbox] = await _classes(
                client, mailbox, folders, _children(parts.get(mailbox), folders["syncissues"])
            )
    return found


async def _classes(
    client: GraphClient, mailbox: str, roots: Mapping[str, Folder | None], below_syncissues: list[Folder] | None = None
) -> dict[str, str]:
    """The class of each of the folders that are there and of all below them."""
    found: dict[str, str] = {}
    for name, folder in roots.items():
        if folder is not None:
            children = below_syncissues if name == "syncissues" else None
            await _note(client, mailbox, folder, WELL_KNOWN[name], found, 0, children)
    return found


async def _ask_each(client: GraphClient, mailboxes: Sequence[str], path: str) -> dict[str, BatchPart]:
    """What each mailbox answers to the same question below its `mailFolders`, as far as one batch tells."""
    if not mailboxes:
        return {}
    questions = {
        str(number): Question(f"/users/{quoted(mailbox)}/mailFolders/{path}", mailbox)
        for number, mailbox in enumerate(mailboxes)
    }
    parts = await ask(client, mailboxes[0], questions)
    return {questions[name].mailbox: part for name, part in parts.items() if name in questions}


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


def _children(part: BatchPart | None, folder: Folder | None) -> list[Folder] | None:
    """The children in the batch, if they are all of them."""
    if part is None or part.status != 200 or folder is None:
        return None
    try:
        page = _FOLDERS(bytes(part.body))
    except BadPage:
        return None
    return page.rows if page.next_link is None and len(page.rows) == (folder.childFolderCount or 0) else None


async def _ask(client: GraphClient, mailbox: str, name: str) -> Folder | None:
    url = f"{client.base}/users/{quoted(mailbox)}/mailFolders/{name}?{FOLDER}"
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
