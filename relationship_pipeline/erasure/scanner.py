"""An independent look at a data directory: is anything of a dead epoch left, and is any address left at all? (W4)

Shares no code with what deletes, and imports nothing of this package: it is told the data directory, the dead and the
live epochs and the registered paths as plain data. It trusts no byte search alone, because engines compress
(reliability.md 1.2): SQLite, DuckDB, Parquet and gzip are read through their engines, and the raw bytes besides.

    python -m relationship_pipeline.erasure.scanner < plan.json > result.json

Plan: {"data_dir", "epoch", "live_epochs": […], "keys_dir", "backups_dir", "mode": "before" | "after",
"classes": [{"name", "regex", "stays": bool, "scanned": bool}], "allowed_fields": [{"path", "table", "column"}]}.
Result: {"clean", "findings": [{"kind", "path"}], "classes": {name: {"files", "bytes", "with_addresses", "unreadable"}},
"files_read", "processes_unseen", "scanner_version"}. Exit 0 when it ran, whatever it found.
Mode `before` counts per class and reports nothing as a finding: it shows that the scanner can see. It looks into the
files of a class until one has shown an address, which is proof for the class; the others are counted, because the
deletion waits for this scan.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import os
import re
import sqlite3
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from json import dumps, load
from pathlib import Path
from typing import Any

SCANNER_VERSION = "3"

_AT = rb"(?:@|%40|\\u0040)"
TEXT_SHAPE = re.compile(rb"[A-Za-z0-9._%+'\-]+" + _AT + rb"[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}")
"""What counts as an address in text."""
BINARY_SHAPE = re.compile(rb"[A-Za-z0-9._+\-]{3,}@[A-Za-z0-9\-]{3,}(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}")
"""In bytes that are no text the shorter shapes come up by chance (4e-8 a byte); these do not (2e-10 a byte)."""
ENGINE_SHAPE = r"[A-Za-z0-9._%+'\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}"

_BLOCK = 1 << 22
_OVERLAP = 1024
_INFLATED_MOST = 1 << 31
_UNPACKERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


@dataclass
class Seen:
    """What one class of store held."""

    files: int = 0
    bytes: int = 0
    with_addresses: int = 0
    unreadable: int = 0


@dataclass
class Look:
    """One scan under way."""

    plan: dict[str, Any]
    findings: list[dict[str, str]] = field(default_factory=list)
    classes: dict[str, Seen] = field(default_factory=dict)
    files_read: int = 0
    processes_unseen: int = 0
    parquet_engine: Any = None

    def report(self, kind: str, path: str) -> None:
        self.findings.append({"kind": kind, "path": path})


def scan(plan: dict[str, Any]) -> dict[str, Any]:
    """Run the plan; see the module's docstring for its shape and the result's."""
    look = Look(plan)
    root = Path(plan["data_dir"])
    after = plan["mode"] == "after"
    try:
        for path, relative in _walk(root, plan):
            _look_at(look, path, relative, after)
    finally:
        if look.parquet_engine is not None:
            look.parquet_engine.close()
    if after:
        _look_for_dead_folders(look, root)
        _look_for_handles(look, root)
        _look_for_keys(look)
    return {
        "clean": after and not look.findings,
        "findings": look.findings,
        "classes": {name: vars(seen) for name, seen in sorted(look.classes.items())},
        "files_read": look.files_read,
        "processes_unseen": look.processes_unseen,
        "scanner_version": SCANNER_VERSION,
    }


def _walk(root: Path, plan: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Every file and link below the root, in order of name, live epochs' trees, keys and backups left out."""
    live = {f"{place}/{epoch}" for place in ("epochs", "keys", "backups") for epoch in plan["live_epochs"]}
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links and (here / name).as_posix() not in live)
        for name in sorted([*files, *links]):
            relative = (here / name).as_posix()
            if relative not in live:
                yield Path(folder) / name, relative


def _look_at(look: Look, path: Path, relative: str, after: bool) -> None:
    """Structure and content of one file."""
    known = next((one for one in look.plan["classes"] if re.fullmatch(one["regex"], relative)), None)
    if known is not None and not known["scanned"]:
        seen = look.classes.setdefault(known["name"], Seen())
        seen.files += 1
        return
    if after:
        kind = _structure(relative, known)
        if kind == "published_link" and _serves_live(look, path):
            kind = None
        if kind is not None:
            look.report(kind, relative)
        if TEXT_SHAPE.search(relative.encode()):
            look.report("address_in_file_name", relative)
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    seen = look.classes.setdefault(known["name"] if known else "not on the map", Seen())
    seen.files += 1
    seen.bytes += info.st_size
    if not stat.S_ISREG(info.st_mode) or info.st_size == 0:
        return
    if seen.with_addresses and not after:
        return
    try:
        where = _addresses_in(look, path, relative)
        look.files_read += 1
    except FileNotFoundError:
        return
    except Unreadable:
        seen.unreadable += 1
        if after:
            look.report("unreadable", relative)
        return
    if where is not None:
        seen.with_addresses += 1
        if after:
            look.report(f"address_in_{where}", relative)


def _structure(relative: str, known: dict[str, Any] | None) -> str | None:
    """Why a file may not be here after a deletion; None when it may."""
    name = relative.rpartition("/")[2]
    if relative.startswith("epochs/.dead-"):
        return "dead_tree"
    if name.startswith("duckdb_temp"):
        return "spill_file"
    if name.endswith(".wal"):
        return "write_ahead_log"
    if name.startswith("tmp_") or (name.startswith(".tmp-") and not relative.startswith("control/")):
        return "temp_file"
    if relative == "published":
        return "published_link"
    if known is None:
        return "unknown_path"
    if not known["stays"] and not relative.startswith("backups/"):
        return "epoch_file"
    return None


def _serves_live(look: Look, path: Path) -> bool:
    """Whether the link at the top leads into a live epoch."""
    with suppress(OSError):
        return any(f"epochs/{epoch}/" in f"{path.readlink()}/" for epoch in look.plan["live_epochs"])
    return False


class Unreadable(Exception):
    """The file's own engine cannot read it."""


def _addresses_in(look: Look, path: Path, relative: str) -> str | None:
    """Where an address was first found (`sqlite`, `duckdb`, `parquet`, `gzip`, `text`, `bytes`), None when nowhere."""
    with path.open("rb") as file:
        head = file.read(16)
    allowed = _allowed_texts(look, path, relative)
    if head.startswith(b"SQLite format 3\0"):
        return _in_sqlite(path, allowed) or ("sqlite_free_pages" if _in_bytes(path, allowed) else None)
    if head.startswith(b"PAR1"):
        return "parquet" if _in_parquet(look, path) else None
    if head[8:12] == b"DUCK":
        return "duckdb" if _in_duckdb(path) else None
    for magic, unpack in _UNPACKERS.items():
        if head.startswith(magic):
            return "gzip" if _in_packed(path, unpack) else None
    if _in_bytes(path, allowed):
        return "text" if _is_text(path) else "bytes"
    return None


def _allowed_texts(look: Look, path: Path, relative: str) -> list[bytes]:
    """Values of the fields that may hold a name, to be blanked before the search (longest first)."""
    values: set[bytes] = set()
    for one in look.plan["allowed_fields"]:
        if one["path"] != relative:
            continue
        with _read_sqlite(path) as connection:
            cursor = connection.execute(_all_rows(one["table"]))
            column = [described[0] for described in cursor.description].index(one["column"])
            values |= {row[column] for row in cursor if row[column]}
    return sorted(values, key=len, reverse=True)


def _blanked(content: bytes, allowed: Iterable[bytes]) -> bytes:
    for value in allowed:
        content = content.replace(value, b"\0" * len(value))
    return content


def _in_bytes(path: Path, allowed: list[bytes]) -> bool:
    """The raw bytes, by the text shape where the file is text and by the stricter one where it is not."""
    shape = TEXT_SHAPE if _is_text(path) else BINARY_SHAPE
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not allowed:
            return shape.search(content) is not None
        for start in range(0, len(content), _BLOCK):
            if shape.search(_blanked(content[start : start + _BLOCK + _OVERLAP], allowed)):
                return True
    return False


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4
    return True


def _in_packed(path: Path, unpack: Callable[[Path], Any]) -> bool:
    tail, inflated = b"", 0
    try:
        with unpack(path) as content:
            while inflated < _INFLATED_MOST and (block := content.read(_BLOCK)):
                inflated += len(block)
                if TEXT_SHAPE.search(tail + block):
                    return True
                tail = block[-_OVERLAP:]
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise Unreadable from error
    return False


def _read_sqlite(path: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    connection.text_factory = bytes
    return closing(connection)


def _in_sqlite(path: Path, allowed: list[bytes]) -> str | None:
    """Every value of every table, blobs inflated where they are packed."""
    permitted = set(allowed)
    try:
        with _read_sqlite(path) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            for (table,) in tables:
                for row in connection.execute(_all_rows(table.decode())):
                    for value in row:
                        if isinstance(value, bytes) and value not in permitted and _in_value(value):
                            return "sqlite"
    except sqlite3.DatabaseError as error:
        raise Unreadable from error
    return None


def _in_value(value: bytes) -> bool:
    if TEXT_SHAPE.search(value):
        return True
    for inflate in (zlib.decompress, gzip.decompress):
        with suppress(zlib.error, OSError, EOFError):
            return TEXT_SHAPE.search(inflate(value)) is not None
    return False


_ENGINE_HABITS: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_file_cache": "false",
    "temp_directory": "",
    "threads": "1",
}


def _in_parquet(look: Look, path: Path) -> bool:
    """Every row of a Parquet file as text. One engine reads all of them: starting one takes longer than most files."""
    import duckdb

    try:
        if look.parquet_engine is None:
            look.parquet_engine = duckdb.connect(":memory:", config=_ENGINE_HABITS)
        return _any_row(look.parquet_engine, "path", str(path))
    except duckdb.Error as error:
        raise Unreadable from error


def _in_duckdb(path: Path) -> bool:
    """Every row of every table of a DuckDB file as text."""
    import duckdb

    try:
        with closing(duckdb.connect(str(path), read_only=True, config=_ENGINE_HABITS)) as connection:
            tables = connection.execute("select table_schema, table_name from information_schema.tables").fetchall()
            names = [".".join(map(_quoted, table)) for table in tables]
            return any(_any_row(connection, "table", name) for name in names)
    except duckdb.Error as error:
        raise Unreadable from error


_SOURCE = {"path": "read_parquet($name)", "table": "query_table($name)"}
_HOLDS_NO_TEXT = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BOOLEAN|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|DATE|TIME[A-Z_ ]*|INTERVAL|UUID"
)
"""Types whose values are numbers or times: no address fits in. Every other type is read as text."""


def _any_row(connection: Any, kind: str, name: str) -> bool:
    """Whether a row, or a column's name, of a Parquet file (`path`) or of a DuckDB table (`table`) holds an address."""
    source, named = _SOURCE[kind], {"name": name}
    table = connection.sql(f"select * from {source} limit 0", params=named)  # noqa: S608 (fixed texts)
    if any(TEXT_SHAPE.search(column.encode()) for column in table.columns):
        return True
    readable = [
        _quoted(column)
        for column, held in zip(table.columns, table.types, strict=True)
        if not _HOLDS_NO_TEXT.fullmatch(str(held))
    ]
    if not readable:
        return False
    row = f"cast(row({', '.join(readable)}) as varchar)"
    query = f"select 1 from {source} where regexp_matches({row}, $shape) limit 1"  # noqa: S608 (quoted names)
    return connection.execute(query, {**named, "shape": ENGINE_SHAPE}).fetchone() is not None


def _quoted(name: str) -> str:
    """An identifier, which no engine lets bind as a value; it comes from the file's own catalogue."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _all_rows(table: str) -> str:
    return f"select * from {_quoted(table)}"  # noqa: S608


def _look_for_dead_folders(look: Look, root: Path) -> None:
    """Folders, empty ones included, that belong to no live epoch."""
    epochs = root / "epochs"
    if epochs.is_dir():
        for folder in sorted(epochs.iterdir()):
            if folder.name not in look.plan["live_epochs"] and folder.is_dir():
                kind = "dead_tree" if folder.name.startswith(".dead-") else "epoch_tree"
                look.report(kind, folder.relative_to(root).as_posix())


def _look_for_handles(look: Look, root: Path) -> None:
    """File descriptors and mappings of any process we may look at, deleted files included."""
    epochs, inbox = f"{root}/epochs/", f"{root}/inbox/data_connect/"
    live = tuple(f"{epochs}{epoch}/" for epoch in look.plan["live_epochs"])

    def is_dead(target: str) -> bool:
        in_inbox = target.startswith(inbox) and target.endswith(" (deleted)")
        return in_inbox or (target.startswith(epochs) and not target.startswith(live or ("\0",)))

    for process in Path("/proc").glob("[0-9]*"):
        try:
            targets = set(_handles(process))
        except PermissionError:
            look.processes_unseen += 1
            continue
        for target in sorted(filter(is_dead, targets)):
            kind = "open_deleted_file" if target.endswith(" (deleted)") else "open_file"
            look.report(kind, target.removeprefix(f"{root}/"))


def _handles(process: Path) -> Iterator[str]:
    """Raises PermissionError for a process that is not ours to look at."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield str(descriptor.readlink())
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (process / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
            mapped = line.split(maxsplit=5)
            if len(mapped) == 6 and mapped[5].startswith("/"):
                yield mapped[5]


def _look_for_keys(look: Look) -> None:
    """The epoch's key is gone, and nothing that could be a key opens what is left of its backups."""
    keys, backups = Path(look.plan["keys_dir"]), Path(look.plan["backups_dir"])
    dead_keys = []
    if keys.is_dir():
        dead_keys = [path for path in sorted(keys.iterdir()) if path.name not in look.plan["live_epochs"]]
    for path in dead_keys:
        look.report("key_left", f"keys/{path.name}")
    sealed = backups / look.plan["epoch"]
    if not sealed.is_dir():
        return
    candidates = list(_candidate_keys([keys, Path(look.plan["data_dir"]) / "control"]))
    for path in sorted(sealed.iterdir()):
        if any(_opens(path, key) for key in candidates):
            look.report("backup_opens", f"backups/{look.plan['epoch']}/{path.name}")


def _candidate_keys(folders: Iterable[Path]) -> Iterator[bytes]:
    for folder in folders:
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.is_file() and path.stat().st_size == 32:
                yield path.read_bytes()


def _opens(path: Path, key: bytes) -> bool:
    """Whether a key unwraps a sealed backup's own key (header: magic, length, JSON with `wrapped_key`, `wrap_nonce`)."""
    from base64 import b64decode
    from json import loads

    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with path.open("rb") as file:
        start = file.read(12)
        header = file.read(int.from_bytes(start[8:12], "big"))
    try:
        facts = loads(header)
        identity = f"{facts['epoch']}/{facts['backup']}".encode()
        AESGCM(key).decrypt(b64decode(facts["wrap_nonce"]), b64decode(facts["wrapped_key"]), identity)
    except (ValueError, KeyError, TypeError, InvalidTag):
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write(dumps(scan(load(sys.stdin)), indent=1))
