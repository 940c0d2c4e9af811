"""Durable files: a file stands under its final name only when it is whole and on disk (reliability.md 5.2).

Temp file (O_EXCL, O_NOFOLLOW, 0600) in the same folder -> fsync -> rename -> fsync of the folder.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from relationship_pipeline.errors import ConsentRefused
from relationship_pipeline.layout import EPOCHS

TEMP_PREFIX = ".tmp-"


def make_folder(folder: Path) -> Path:
    """Make a folder and what is missing above it, but never the tree of an epoch: only a consent makes that, and one
    that was erased cannot come back. One level at a time, because a tree renamed away in between must be noticed.

    Raises ConsentRefused where the epoch's tree is gone.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        if folder.parent.parent.name == EPOCHS:
            raise ConsentRefused("the consent this run started under has ended: its data is gone") from None
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temp_name(suffix: str = "") -> str:
    """A fresh name that readers and the manifest never use and the janitor sweeps."""
    return f"{TEMP_PREFIX}{secrets.token_hex(8)}{suffix}"


def temp_path(folder: Path, suffix: str = "") -> Path:
    """A path with such a name in the folder, which is made where it is missing."""
    return make_folder(folder) / temp_name(suffix)


def fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def durable_rename(source: Path, target: Path) -> None:
    """Rename a whole file in place of its target; source and target lie in one file system."""
    fsync_file(source)
    os.replace(source, target)
    fsync_folder(target.parent)


def put_bytes(path: Path, content: bytes | memoryview, *, make_parents: bool = True) -> None:
    """Write a small file durably; what stood there before stands until the new one is whole.

    Without `make_parents` raises FileNotFoundError where the folder is gone, so that an erased tree cannot come back.
    """
    temp = temp_path(path.parent) if make_parents else path.parent / temp_name()
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temp.unlink()
        raise
    fsync_folder(path.parent)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def adopt_folder(temp: Path, target: Path) -> None:
    """Give a finished temp folder, with all its files on disk, its final name; both lie in one folder."""
    for path in sorted(temp.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
            fsync_folder(path)
        else:
            fsync_file(path)
    temp.chmod(0o700)
    fsync_folder(temp)
    os.replace(temp, target)
    fsync_folder(target.parent)
