"""Reading what was committed: only files that a manifest names, and only if their hash still matches.

Parquet does not protect itself (reliability.md 1.7: most single-bit flips go unnoticed), so every file's SHA-256 is
checked before its rows are used; once a process and file state (name, size, mtime).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from relationship_pipeline.durable import sha256_of
from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.manifest import Manifest, read_manifest

T = TypeVar("T")

_checked: set[tuple[str, int, int, str]] = set()


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Raises BadLake naming table and month when a file is missing or differs from its manifest."""
    for file in manifest.files:
        path = folder / file.name
        try:
            stat = path.stat()
            state = (str(path), stat.st_size, stat.st_mtime_ns, file.sha256)
            if state in _checked:
                continue
            is_whole = stat.st_size == file.bytes and sha256_of(path) == file.sha256
        except FileNotFoundError:
            raise BadLake(_complaint(manifest, "is missing a file")) from None
        if not is_whole:
            raise BadLake(_complaint(manifest, "holds a file whose hash differs from its manifest"))
        _checked.add(state)


def open_table(folder: Path) -> Manifest | None:
    """The verified manifest of a folder, None where nothing was committed. Raises BadLake."""
    found = read_whole(folder, lambda manifest: manifest)
    return None if found is None else found[0]


def read_whole(folder: Path, read: Callable[[Manifest], T]) -> tuple[Manifest, T] | None:
    """The verified manifest of a folder and what `read` makes of its files; None where nothing was committed. A folder
    that is replaced, and whose old files are swept, while it is read is read as it stands then. Raises BadLake."""
    while (manifest := read_manifest(folder)) is not None:
        try:
            verify_files(folder, manifest)
            return manifest, read(manifest)
        except (BadLake, FileNotFoundError):
            if read_manifest(folder) == manifest:
                raise
    return None


def standing_table(folder: Path) -> Manifest | None:
    """As `open_table`, for whoever makes the folder's rows again: what is damaged counts as not there, else the command
    that the complaint names would meet the same complaint."""
    try:
        return open_table(folder)
    except BadLake:
        return None


def _complaint(manifest: Manifest, what: str) -> str:
    where = f"month {manifest.month} of {manifest.table}" if manifest.month else f"table {manifest.table}"
    return f"{where} {what}; run it again to rebuild it"
