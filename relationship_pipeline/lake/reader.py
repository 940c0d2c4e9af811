"""Reading what was committed: only files that a manifest names, and only if their hash still matches.

Parquet does not protect itself (reliability.md 1.7: most single-bit flips go unnoticed), so every file's SHA-256 is
checked before its rows are used; once a process and file state (name, size, mtime).
"""

from __future__ import annotations

from pathlib import Path

from relationship_pipeline.durable import sha256_of
from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.manifest import Manifest, read_manifest

_checked: set[tuple[str, int, int, str]] = set()


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Raises BadLake naming table and month when a file is missing or differs from its manifest."""
    for file in manifest.files:
        path = folder / file.name
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise BadLake(_complaint(manifest, "is missing a file")) from None
        state = (str(path), stat.st_size, stat.st_mtime_ns, file.sha256)
        if state in _checked:
            continue
        if stat.st_size != file.bytes or sha256_of(path) != file.sha256:
            raise BadLake(_complaint(manifest, "holds a file whose hash differs from its manifest"))
        _checked.add(state)


def open_table(folder: Path) -> Manifest | None:
    """The verified manifest of a folder, None where nothing was committed. Raises BadLake."""
    manifest = read_manifest(folder)
    if manifest is not None:
        verify_files(folder, manifest)
    return manifest


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
