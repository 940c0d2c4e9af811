"""Sealed backups of the lake: AES-256-GCM in chunks, one key an epoch, 30 days at most (reliability.md 4.3).

File: `RPBACKUP`, header length (4 bytes, big endian), header (JSON: epoch, backup id, time, the backup's own key
wrapped by the epoch's key), then chunks of 1 MiB plain text as cipher text with a 16 byte tag. A chunk's nonce is its
number; header hash, number and a last-chunk flag are authenticated with it, so truncating, reordering, swapping and
flipping are noticed. Whoever destroys `keys/<epoch>` makes every backup of the epoch unreadable.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import LIVE_STATES, Purpose
from relationship_pipeline.durable import durable_rename, fsync_folder, make_folder, put_bytes, temp_path
from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.lake.manifest import MANIFEST, Manifest, encode_manifest, read_manifest
from relationship_pipeline.lake.reader import read_whole, verify_files
from relationship_pipeline.lake.writer import sweep_folder
from relationship_pipeline.layout import EpochLayout, Layout

MAGIC = b"RPBACKUP"
CHUNK = 1 << 20
TAG = 16
RETENTION = timedelta(days=30)
BACKUP_LOCK, RESTORE_LOCK = "backup", "restore"
"""Work locks: one backup and one restore at a time; others wait."""

RESTORE_SUFFIX = "-restore"


@dataclass(frozen=True)
class BackupStore:
    """Where an epoch's key and sealed files lie; both may be on other volumes (settings `[storage]`)."""

    keys: Path
    backups: Path

    def key_path(self, epoch: str) -> Path:
        return self.keys / epoch

    def folder(self, epoch: str) -> Path:
        return self.backups / epoch

    def sealed(self, epoch: str) -> list[Path]:
        """Sealed files of an epoch, oldest first."""
        folder = self.folder(epoch)
        return sorted(folder.glob("*.sealed")) if folder.is_dir() else []


def make_backup(layout: Layout, store: BackupStore, epoch: str, now: datetime) -> Path:
    """Seal what the lake has committed and return the file; its name appears inside the consent fence, whole.

    Raises ConsentRefused when the consent ended meanwhile, nothing is left then; and BadLake for a damaged folder, which
    no restore would take.
    """
    with locked(layout.work_lock(BACKUP_LOCK)):
        return _seal(layout, store, epoch, now)


def _seal(layout: Layout, store: BackupStore, epoch: str, now: datetime) -> Path:
    control = ControlLedger(layout)
    control.require(Purpose.DERIVE, epoch)
    tree = layout.epoch(epoch)
    key = _epoch_key(control, store, epoch)
    backup = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    temp = temp_path(store.folder(epoch), ".sealed")
    try:
        with _create(temp) as file:
            sealer = _Sealer(file, key, epoch, backup, now)
            with tarfile.open(fileobj=sealer, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
                _add_committed(archive, tree)
            sealer.finish()
        target = store.folder(epoch) / f"{backup}.sealed"
        with control.commit_fence(epoch, Purpose.DERIVE):
            durable_rename(temp, target)
    finally:
        temp.unlink(missing_ok=True)
    return target


def purge_backups(layout: Layout, store: BackupStore, now: datetime) -> dict[str, int]:
    """Delete sealed files older than 30 days, and all of epochs whose consent ended; counts `removed` and `kept`. Waits
    for a backup under way, whose file has no name yet."""
    with locked(layout.work_lock(BACKUP_LOCK)):
        return _purge(layout, store, now)


def _purge(layout: Layout, store: BackupStore, now: datetime) -> dict[str, int]:
    live = ControlLedger(layout).live_epochs()
    removed = kept = 0
    for folder in sorted(store.backups.iterdir()) if store.backups.is_dir() else ():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            made_at = _made_at(path)
            if folder.name in live and made_at is not None and now - made_at < RETENTION:
                kept += 1
            else:
                path.unlink(missing_ok=True)
                removed += 1
        if folder.is_dir():
            fsync_folder(folder)
    return {"removed": removed, "kept": kept}


def restore_backup(
    layout: Layout, store: BackupStore, path: Path, *, reapply: Callable[[EpochLayout], None], now: datetime
) -> dict[str, int]:
    """Put a backup's months back into the live epoch's lake; counts `folders` and `rows`.

    The archive is opened into the epoch's work folder, every file checked against its manifest, `reapply` takes out
    what opt-outs and erasures since then forbid (O4, W5), and only then do the folders take their places, in the fence.
    Raises Refused for a backup of another or dead epoch and BadInput for one that was changed, cut or cannot be opened.
    """
    control = ControlLedger(layout)
    with locked(layout.work_lock(RESTORE_LOCK)), path.open("rb") as file:
        header, header_hash = _read_header(file, path)
        record = control.current()
        if record is None or record.epoch != header["epoch"] or record.state not in LIVE_STATES:
            raise Refused("this backup belongs to a consent that has ended; it cannot be restored")
        epoch = record.epoch
        key = _unwrap(header, store, path)
        tree = layout.epoch(epoch)
        work = make_folder(temp_path(tree.tmp, RESTORE_SUFFIX))
        try:
            opener = _Opener(file, key, header_hash, path.name)
            try:
                with tarfile.open(fileobj=io.BufferedReader(opener, CHUNK), mode="r|") as archive:
                    _extract(archive, work)
            except tarfile.TarError:
                raise BadInput(f"{path.name} was changed or cut; use another backup") from None
            opener.require_end()
            restored = EpochLayout(work)
            folders = _checked_folders(restored)
            reapply(restored)
            return _put_back(control, tree, restored, folders)
        finally:
            shutil.rmtree(work)


def _put_back(control: ControlLedger, tree: EpochLayout, restored: EpochLayout, folders: list[Path]) -> dict[str, int]:
    rows = 0
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest is None:
            continue
        target = make_folder(tree.lake / folder.relative_to(restored.lake))
        with locked(control.layout.table_lock(manifest.table, manifest.month)):
            for part in manifest.all_paths(folder):
                durable_rename(part, target / part.name)
            with control.commit_fence(tree.epoch, Purpose.DERIVE):
                put_bytes(target / MANIFEST, (folder / MANIFEST).read_bytes())
            sweep_folder(target, manifest)
        rows += manifest.rows
    return {"folders": len(folders), "rows": rows}


def _checked_folders(restored: EpochLayout) -> list[Path]:
    folders = sorted(path.parent for path in restored.lake.rglob(MANIFEST))
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest is not None:
            verify_files(folder, manifest)
    return folders


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack plain files below the folder. What is sealed is our own; a member that says otherwise was not written by us."""
    for member in archive:
        name = PurePosixPath(member.name)
        if not member.isfile() or name.is_absolute() or ".." in name.parts:
            raise tarfile.ExtractError(member.name)
        content = archive.extractfile(member)
        if content is None:
            raise tarfile.ExtractError(member.name)
        target = folder.joinpath(*name.parts)
        make_folder(target.parent)
        with _create(target) as file:
            shutil.copyfileobj(content, file)


def _add_committed(archive: tarfile.TarFile, tree: EpochLayout) -> None:
    """Committed folders of the lake only: the manifest as it stands and the parts it names. Raises BadLake."""
    for path in sorted(tree.lake.rglob(MANIFEST)):
        folder = path.parent
        with ExitStack() as stack:
            found = read_whole(folder, partial(_open_parts, stack, folder))
            if found is None:
                continue
            manifest, parts = found
            for name, file in parts.items():
                archive.addfile(_member(folder.relative_to(tree.root) / name, os.fstat(file.fileno()).st_size), file)
            content = encode_manifest(manifest)
            archive.addfile(_member(path.relative_to(tree.root), len(content)), io.BytesIO(content))


def _open_parts(stack: ExitStack, folder: Path, manifest: Manifest) -> dict[str, IO[bytes]]:
    """The parts of a manifest, all opened before the first is read: a month replaced meanwhile stays whole."""
    return {path.name: stack.enter_context(path.open("rb")) for path in manifest.all_paths(folder)}


def _member(name: Path, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name.as_posix())
    member.size, member.mode = size, 0o600
    return member


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def _epoch_key(control: ControlLedger, store: BackupStore, epoch: str) -> bytes:
    path = store.key_path(epoch)
    with control.commit_fence(epoch, Purpose.DERIVE):
        if not path.exists():
            put_bytes(path, secrets.token_bytes(32))
        return path.read_bytes()


class _Sealer:
    """A write-only file that seals what it is given, chunk by chunk."""

    def __init__(self, file: IO[bytes], epoch_key: bytes, epoch: str, backup: str, now: datetime) -> None:
        own_key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
        wrapped = AESGCM(epoch_key).encrypt(nonce, own_key, f"{epoch}/{backup}".encode())
        header = json.dumps(
            {
                "epoch": epoch,
                "backup": backup,
                "made_at": now.isoformat(),
                "wrap_nonce": b64encode(nonce).decode(),
                "wrapped_key": b64encode(wrapped).decode(),
            },
            sort_keys=True,
        ).encode()
        self._file, self._cipher, self._buffer, self._number = file, AESGCM(own_key), bytearray(), 0
        self._header_hash = hashlib.sha256(header).digest()
        file.write(MAGIC + len(header).to_bytes(4, "big") + header)

    def write(self, content: bytes) -> int:
        self._buffer += content
        while len(self._buffer) > CHUNK:
            self._seal(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]
        return len(content)

    def finish(self) -> None:
        self._seal(bytes(self._buffer), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce, extra = _chunk_terms(self._header_hash, self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, chunk, extra))
        self._number += 1


class _Opener(io.RawIOBase):
    """A read-only file of what was sealed. Raises BadInput at the first chunk that is not as it was sealed."""

    def __init__(self, file: IO[bytes], key: bytes, header_hash: bytes, name: str) -> None:
        super().__init__()
        self._file, self._cipher, self._header_hash, self._name = file, AESGCM(key), header_hash, name
        self._plain, self._number, self._ended = b"", 0, False
        self._next = file.read(CHUNK + TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._plain and not self._ended:
            self._open_next()
        taken = self._plain[: len(target)]
        target[: len(taken)] = taken
        self._plain = self._plain[len(taken) :]
        return len(taken)

    def require_end(self) -> None:
        """Read what is left, so that a cut after the archive's own end is noticed as well."""
        while not self._ended:
            self._open_next()

    def _open_next(self) -> None:
        chunk, self._next = self._next, self._file.read(CHUNK + TAG)
        self._ended = not self._next
        nonce, extra = _chunk_terms(self._header_hash, self._number, last=self._ended)
        self._number += 1
        try:
            self._plain = self._cipher.decrypt(nonce, chunk, extra)
        except (InvalidTag, ValueError):
            raise BadInput(f"{self._name} was changed or cut; use another backup") from None


def _chunk_terms(header_hash: bytes, number: int, *, last: bool) -> tuple[bytes, bytes]:
    """Nonce and authenticated data of one chunk."""
    return number.to_bytes(12, "big"), header_hash + number.to_bytes(8, "big") + (b"\1" if last else b"\0")


def _read_header(file: IO[bytes], path: Path) -> tuple[dict[str, str], bytes]:
    start = file.read(12)
    content = file.read(int.from_bytes(start[8:12], "big")) if start[:8] == MAGIC else b""
    try:
        header = json.loads(content)
        return {name: str(header[name]) for name in ("epoch", "backup", "wrap_nonce", "wrapped_key")}, hashlib.sha256(
            content
        ).digest()
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path.name} is not a sealed backup") from None


def _unwrap(header: dict[str, str], store: BackupStore, path: Path) -> bytes:
    try:
        epoch_key = store.key_path(header["epoch"]).read_bytes()
    except FileNotFoundError:
        raise Refused("the key of this backup's epoch is not in the keys folder; the backup cannot be opened") from None
    identity = f"{header['epoch']}/{header['backup']}".encode()
    try:
        return AESGCM(epoch_key).decrypt(b64decode(header["wrap_nonce"]), b64decode(header["wrapped_key"]), identity)
    except (InvalidTag, ValueError):
        raise BadInput(f"{path.name} was changed, or the keys folder holds another key") from None


def _made_at(path: Path) -> datetime | None:
    """From the name; None for temp files and strangers."""
    try:
        return datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
