"""The manifest: the commit point of a month (or of a table without months).

A folder of the lake holds `part-<sha16>.parquet` files and one `manifest.json`. A reader takes the files that the
manifest names and no others; replacing the manifest by rename replaces the month whole (reliability.md 5.2).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from relationship_pipeline.errors import BadLake

MANIFEST = "manifest.json"


LEFT_OUT = "left_out"
"""The kind of file beside a collected month's rows that counts, by mailbox, what the rows do not show: copies that were
dropped, and that the mailbox was read. So an erased mailbox's counts can go with it (W5)."""


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file: `table` says which rows it holds where a folder has several kinds."""

    name: str
    table: str
    sha256: str
    rows: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one folder of the lake holds now.

    `inputs` maps what the rows were made from to its content id, so that a build knows what is stale. `read_at`: as of when
    the rows show their source, where that is not `created_at`: an export is older than its reading, and erasing somebody
    reads no source again.
    `quality` is the quality record of B9 for collected months (counts by name, no personal data).
    """

    epoch: str
    table: str
    month: str | None
    created_at: datetime
    files: tuple[DataFile, ...]
    inputs: dict[str, str] = {}
    quality: dict[str, Any] = {}
    first_at: datetime | None = None
    last_at: datetime | None = None
    read_at: datetime | None = None

    @property
    def shows_until(self) -> datetime:
        """The instant as of which the rows show their source."""
        return self.read_at or self.created_at

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files if file.table != LEFT_OUT)

    @property
    def content_id(self) -> str:
        """Changes if and only if the bytes of some file of rows change."""
        return "-".join(sorted(file.sha256[:16] for file in self.files if file.table != LEFT_OUT)) or "empty"

    def paths(self, folder: Path, table: str | None = None) -> list[Path]:
        """The files of rows, all or of one kind."""
        return [
            folder / file.name
            for file in self.files
            if file.table == table or (table is None and file.table != LEFT_OUT)
        ]

    def all_paths(self, folder: Path) -> list[Path]:
        """Everything that the manifest names, each file once: kinds with equal rows share one."""
        return [folder / name for name in dict.fromkeys(file.name for file in self.files)]


def encode_manifest(manifest: Manifest) -> bytes:
    """As it stands in its file."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None where nothing was committed. Raises BadLake when it cannot be read."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise BadLake(f"{folder.parent.name}/{folder.name}/{MANIFEST} cannot be read; run that month again") from error
