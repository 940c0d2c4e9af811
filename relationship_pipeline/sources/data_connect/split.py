"""Splitting an export file by month: each is read once, by the first month that needs it (docs/architecture.md).

The split lies below the stage, keyed by the file's name, size and time; the other months read that. It holds rows of
mailboxes that may be read only, and of months that are still to be read (ReadScope). Two processes may stage at the same
time: one splits a file, the other waits for it.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.folders import INBOX, SENT, UNKNOWN
from relationship_pipeline.durable import TEMP_PREFIX, adopt_folder, durable_rename, make_folder, put_bytes
from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.engine import (
    copy_to_parquet,
    create_table,
    is_disk_full,
    keep_build_sides,
    open_engine,
    sql,
    storage_errors,
)
from relationship_pipeline.sources.data_connect.files import (
    MAX_LINE_BYTES,
    UNMARKED,
    ExportFile,
    begins_with_mark,
    check_whole,
    file_identity,
    is_gzip,
    literal_glob,
    spelling_of,
    unmarked,
    unreadable,
)
from relationship_pipeline.sources.data_connect.folders import FolderClasses
from relationship_pipeline.sources.data_connect.shapes import EVENT, MESSAGE, duckdb_type, spelled
from relationship_pipeline.sources.zones import WINDOWS_ZONES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MODELS = "relationship_pipeline.sources.models"
SPLIT_VERSION = "4"
"""Part of every stage key: changes when the split's rules do, so that nothing staged by older rules is read."""
STAGE_FOLDER = "data_connect"
"""Below the stage: a folder a split, named by its key and a token of its own: what is split anew stands under a new name,
so that nobody reads half of one split and half of another."""
LEFTOVER = timedelta(days=1)
"""How long rows of a month that is no longer open may lie: whoever was to read them is done with it by then, or gone."""
SLACK = timedelta(days=1)
"""How far after both the file's time and now a receivedDateTime may lie before it counts as impossible."""
CALENDAR_REACH = timedelta(days=3660)
"""The same for the start of a meeting, which may be planned years ahead."""
RECORD = "record.json"
NO_MONTH = "none"


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which file was split, and what was found: the first instant of each month; `rejected` rows by month (or `none`) and
    reason; by mailbox `rows`, `complete` or `incomplete` (summary rows tell the last two); `unread` rows of the mailboxes
    that might not be read, by mailbox and month (calendars: day)."""

    file: str
    months: dict[str, datetime]
    rejected: dict[str, dict[str, int]]
    mailboxes: dict[str, str]
    unread: dict[str, dict[str, int]]

    def fits(self, mailboxes: frozenset[str]) -> bool:
        """Whether the split holds rows of those mailboxes that may be read now, and of no others."""
        return self.unread.keys() == self.mailboxes.keys() - mailboxes


Split = tuple[Path, SplitRecord]
"""The folder of a split and its record."""


@dataclass(frozen=True)
class Room:
    """Where DuckDB spills while it splits, and what it may use."""

    spill: Path
    memory_limit: str | None
    threads: int | None


@dataclass(frozen=True)
class Wanted:
    """What is asked of a split now: the months `asked`, and what else it keeps (None: every month)."""

    asked: list[str]
    mailboxes: frozenset[str]
    open_months: frozenset[str] | None

    def keeps(self, month: str) -> bool:
        return self.open_months is None or month in self.open_months or month in self.asked


def split_file(
    file: ExportFile, home: Path, key: str, folders: FolderClasses | None, wanted: Wanted, room: Room, now: datetime
) -> None:
    """Split one file in one pass into a folder below `home`: Parquet by month, and the record. Where a split stands that
    only lacks months, they are added to it. `folders` of messages, None for a calendar. Raises BadInput when the file cannot
    be read whole. The caller holds the split's lock."""
    temp = home / f"{TEMP_PREFIX}{key}"
    shutil.rmtree(temp, ignore_errors=True)
    try:
        with storage_errors(f"splitting {file.title}"):
            record = _split_into(make_folder(temp), file, folders, wanted, room, now)
            if not record.months and not record.mailboxes and set(_reasons(record)) == {"not_json"}:
                raise BadInput(f"{file.title} is not JSON lines; export it again or take it out of the folder")
            standing = standing_split(home, key)
            if standing is not None and standing[1].fits(wanted.mailboxes):
                for path in temp.glob("*.parquet"):
                    if not (standing[0] / path.name).exists():
                        durable_rename(path, standing[0] / path.name)
                return
            put_bytes(temp / RECORD, msgspec.json.encode(record))
            _drop_splits(home, key)
            adopt_folder(temp, home / f"{key}-{secrets.token_hex(4)}")
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def standing_split(home: Path, key: str) -> Split | None:
    """The split of a key, and its record. Erasing somebody takes staged files away, also from a split that is being made:
    months may be missing, or all of it."""
    for split in sorted(home.glob(f"{key}-*")):
        if (record := _read_record(split)) is not None:
            return split, record
    return None


def usable_split(home: Path, key: str, wanted: Wanted) -> Split | None:
    """The standing split, if it has what is asked for. What it may not hold any more goes here: all rows when another
    mailbox may be read, or one no longer may; and months that are not open, but for a day (LEFTOVER)."""
    standing = standing_split(home, key)
    if standing is None:
        return None
    split, record = standing
    fits = record.fits(wanted.mailboxes)
    for path in split.glob("*.parquet"):
        if not fits or (not wanted.keeps(path.stem) and _is_leftover(path)):
            path.unlink(missing_ok=True)
    return standing if all(path.is_file() for path in month_files(standing, wanted.asked)) else None


def _is_leftover(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > LEFTOVER.total_seconds()
    except FileNotFoundError:
        return False


def month_files(split: Split, months: Iterable[str]) -> list[Path]:
    """Where the split has its rows of these months."""
    folder, record = split
    return [folder / f"{month}.parquet" for month in months if month in record.months]


def drop_files(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _drop_splits(home: Path, key: str) -> None:
    for split in home.glob(f"{key}-*"):
        shutil.rmtree(split, ignore_errors=True)


def _read_record(split: Path) -> SplitRecord | None:
    """None also where an older version wrote it."""
    try:
        return msgspec.json.decode((split / RECORD).read_bytes(), type=SplitRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def _split_into(
    folder: Path, file: ExportFile, folders: FolderClasses | None, wanted: Wanted, room: Room, now: datetime
) -> SplitRecord:
    parameters = _parameters(file, EVENT if folders is None else MESSAGE)
    parameters["latest"] = max(now, file.written_at) + (CALENDAR_REACH if folders is None else SLACK)
    with (
        open_engine(room.spill, memory_limit=room.memory_limit, threads=room.threads) as engine,
        ThreadPoolExecutor(1) as checker,
    ):
        keep_build_sides(engine)
        if folders is None:
            engine.register("windows_zones", _windows_zones())
        else:
            engine.register("folders", folders.table())
            parameters["default_class"] = {"inbox": INBOX, "sentitem": SENT}.get(file.dataset, UNKNOWN)
        whole = checker.submit(check_whole, file)
        if begins_with_mark(file):
            parameters |= {"file": literal_glob(unmarked(file, folder)), "compression": "none"}
        _read_rows(engine, sql(MODELS, "split_events" if folders is None else "split_messages"), parameters, file)
        whole.result()
        (folder / UNMARKED).unlink(missing_ok=True)
        _register_readable(engine, wanted.mailboxes)
        instant, unread = ("start_at", "unread_events") if folders is None else ("received_at", "unread_messages")
        record = _sum_up(engine, file, wanted.mailboxes, instant, unread)
        for month in filter(wanted.keeps, record.months):
            query = sql(MODELS, "split_month")
            copy_to_parquet(engine, query, folder / f"{month}.parquet", {"bucket": month}, "snappy")
        return record


def _parameters(file: ExportFile, shape: dict[str, Any]) -> dict[str, Any]:
    spelling = spelling_of(file)
    return {
        "file": literal_glob(file.path),
        "columns": {spelled(key, spelling): duckdb_type(value, spelling) for key, value in shape.items()},
        "compression": "gzip" if is_gzip(file.path) else "none",
        "max_object_size": MAX_LINE_BYTES,
    }


def stage_key(file: ExportFile, folders: FolderClasses | None) -> str:
    text = f"{SPLIT_VERSION}\0{file_identity(file)}\0{folders.identity if folders else ''}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def split_lock(home: Path, key: str) -> Path:
    """flock of one split: held by whoever makes or removes it (the janitor too)."""
    return home / f"{key}.lock"


def sweep_stale(home: Path, keys: Mapping[str, str]) -> None:
    """Remove splits whose export file is gone or another one by now, what an eraser left of them, and those that an older
    version made; `keys` are the present ones by file."""
    for split in sorted(home.iterdir()):
        if split.name.startswith(TEMP_PREFIX) or not split.is_dir():
            continue
        key = split.name.partition("-")[0]
        record = _read_record(split)
        if record is None or keys.get(record.file, key) != key or not Path(record.file).exists():
            with suppress(BlockingIOError), locked(split_lock(home, key), wait=False):
                shutil.rmtree(split, ignore_errors=True)


def _windows_zones() -> pa.Table:
    """Columns name (lower case), zone (IANA)."""
    import pyarrow as pa

    names, zones = list(WINDOWS_ZONES), list(WINDOWS_ZONES.values())
    return pa.table([names, zones], schema=pa.schema([("name", pa.string()), ("zone", pa.string())]))


def _register_readable(engine: duckdb.DuckDBPyConnection, mailboxes: frozenset[str]) -> None:
    import pyarrow as pa

    engine.register("readable", pa.table([sorted(mailboxes)], schema=pa.schema([("mailbox", pa.string())])))


def _read_rows(engine: duckdb.DuckDBPyConnection, model: str, parameters: dict[str, Any], file: ExportFile) -> None:
    """Read the file into the table `split_rows`. Raises BadInput when it cannot be read whole."""
    import duckdb

    try:
        create_table(engine, "split_rows", model, parameters)
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if is_disk_full(error):
            raise
        raise unreadable(file, error) from None


def _sum_up(
    engine: duckdb.DuckDBPyConnection, file: ExportFile, readable: frozenset[str], instant: str, model: str
) -> SplitRecord:
    """The record of `split_rows`, whose months are those of the column `instant`; `model` counts what is unread."""
    months: dict[str, datetime] = {}
    rejected: dict[str, dict[str, int]] = {}
    buckets = engine.table("split_rows").aggregate(f"bucket, count(*), min({instant})")
    for bucket, count, first in sorted(buckets.fetchall()):
        kind, _, detail = bucket.partition(".")
        if kind == "rejected":
            reason, _, month = detail.rpartition(".")
            rejected.setdefault(month, {})[reason] = count
        elif kind != "summary":
            months[bucket] = first.astimezone(UTC)
    mailboxes = dict(engine.execute(sql(MODELS, "split_mailboxes")).fetchall())
    unread: dict[str, dict[str, int]] = {mailbox: {} for mailbox in mailboxes if mailbox not in readable}
    for mailbox, period, copies in engine.execute(sql(MODELS, model)).fetchall():
        unread[mailbox][period] = copies
    return SplitRecord(file=str(file.path), months=months, rejected=rejected, mailboxes=mailboxes, unread=unread)


def _reasons(record: SplitRecord) -> Iterator[str]:
    for reasons in record.rejected.values():
        yield from reasons
