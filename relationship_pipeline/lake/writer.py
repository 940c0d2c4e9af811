"""Committing to the lake: parts get content names, and the rename of the manifest, inside the consent fence, replaces
a folder's rows whole (reliability.md 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.durable import TEMP_PREFIX, durable_rename, put_bytes, sha256_of, temp_path
from relationship_pipeline.lake.manifest import MANIFEST, DataFile, Manifest, encode_manifest

CommitFence = Callable[[], AbstractContextManager[object]]
"""Entered around every commit; raises ConsentRefused when the epoch may no longer be written."""


def adopt_part(temp: Path, table: str, rows: int) -> DataFile:
    """Give a finished temp Parquet file its final, content-named place in its folder; readers ignore it until a
    manifest names it."""
    digest = sha256_of(temp)
    name = f"part-{digest[:16]}.parquet"
    size = temp.stat().st_size
    durable_rename(temp, temp.parent / name)
    return DataFile(name=name, table=table, sha256=digest, rows=rows, bytes=size)


def write_part(folder: Path, table: str, write: Callable[[Path], int]) -> DataFile:
    """Write one Parquet file into a folder and adopt it; `write` takes the path to write to and returns the rows. Nothing
    of it is left where that fails."""
    temp = temp_path(folder, ".parquet")
    try:
        return adopt_part(temp, table, write(temp))
    finally:
        temp.unlink(missing_ok=True)


def commit_manifest(
    folder: Path,
    *,
    epoch: str,
    table: str,
    month: str | None,
    files: Iterable[DataFile],
    fence: CommitFence,
    inputs: dict[str, str] | None = None,
    quality: dict[str, Any] | None = None,
    first_at: datetime | None = None,
    last_at: datetime | None = None,
    read_at: datetime | None = None,
) -> Manifest:
    """Replace what the folder holds, in one rename, if consent still stands; then sweep the parts nothing names.

    Raises ConsentRefused (from the fence) and leaves the old state when it does not.
    """
    manifest = Manifest(
        epoch=epoch,
        table=table,
        month=month,
        created_at=datetime.now(UTC),
        files=tuple(files),
        inputs=inputs or {},
        quality=quality or {},
        first_at=first_at,
        last_at=last_at,
        read_at=read_at,
    )
    with fence():
        put_bytes(folder / MANIFEST, encode_manifest(manifest))
    sweep_folder(folder, manifest)
    return manifest


def sweep_folder(folder: Path, manifest: Manifest | None) -> int:
    """Remove temp files and parts that the manifest does not name; counts what went. The caller holds the lock of this
    folder's work, so that no other writer's temp file is in flight."""
    named = {file.name for file in manifest.files} if manifest else set()
    removed = 0
    for path in folder.iterdir():
        if path.name.startswith(TEMP_PREFIX) or (path.name.startswith("part-") and path.name not in named):
            path.unlink(missing_ok=True)
            removed += 1
    return removed
