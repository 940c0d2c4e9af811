"""Folder classes from MailFolder_v0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from relationship_pipeline.domain.folders import INBOX, OTHER, class_of_name
from relationship_pipeline.sources.data_connect.files import ExportFile, file_identity, rows
from relationship_pipeline.sources.data_connect.shapes import MailFolderRow

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_DEPTH = 300
"""Exchange nests folders 300 deep at most; also ends a walk over folders that name each other as parent."""


class FolderClasses:
    """Folder classes by (mailbox, folder id) from MailFolder_v0: well-known folders and all below them.

    The export says names, not which folders are the well-known ones, so a name counts only at the top: right below the
    folder that holds the inbox, or where the parent is not in the export."""

    def __init__(self, files: list[ExportFile]) -> None:
        self._files = files
        self.identity = "-".join(file_identity(file) for file in files)
        self._table: pa.Table | None = None

    def table(self) -> pa.Table:
        """Columns mailbox, folder_id, folder_class."""
        import pyarrow as pa

        if self._table is None:
            schema = pa.schema([(name, pa.string()) for name in ("mailbox", "folder_id", "folder_class")])
            self._table = pa.Table.from_pylist(list(self._classes()), schema=schema)
        return self._table

    def _classes(self) -> Iterator[dict[str, str]]:
        names: dict[tuple[str, str], tuple[str, str]] = {}
        for file in self._files:
            for row in rows(file, MailFolderRow):
                if row.puser and row.id:
                    name = row.wellknownname or row.displayname or ""
                    names[row.puser.strip().lower(), row.id] = (name, row.parentfolderid or "")
        roots = {
            (mailbox, parent)
            for (mailbox, _), (name, parent) in names.items()
            if class_of_name(name) == INBOX and (mailbox, names.get((mailbox, parent), ("", ""))[1]) not in names
        }
        for mailbox, folder_id in names:
            at = folder_id
            for _ in range(_MAX_DEPTH):
                name, parent = names[mailbox, at]
                if (mailbox, parent) in roots or (mailbox, parent) not in names:
                    break
                at = parent
            yield {"mailbox": mailbox, "folder_id": folder_id, "folder_class": class_of_name(name) or OTHER}
