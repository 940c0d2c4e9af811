"""Splitting an export file by month: each is read once, by the first month that needs it (docs/architecture.md).

The split lies below the stage, keyed by the file's name, size and time; the other months read that. Two processes may
stage at the same time: one splits a file, the other waits for it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.folders import INBOX, SENT, UNKNOWN
from relationship_pipeline.durable import TEMP_PREFIX, adopt_folder, make_folder, put_bytes
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
"""Below the stage: a folder a split, named by its key."""
SLACK = timedelta(days=1)
"""How far after both the file's time and now a receivedDateTime may lie before it counts as impossible."""
CALENDAR_REACH = timedelta(days=3660)
"""The same for the start of a meeting, which may be planned years ahead."""
RECORD = "record.json"
NO_MONTH = "none"
_MONTH_ROWS = "select * exclude (bucket) from split_rows where bucket = $bucket"


class SplitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which file was split, and what was found: `rejected` rows by month (or `none`) and reason; by mailbox `rows`,
    `complete` or `incomplete` (summary rows tell the last two)."""

    file: str
    months: list[str]
    rejected: dict[str, dict[str, int]]
    mailboxes: dict[str, str]


@dataclass(frozen=True)
class Room:
    """Where DuckDB spills while it splits, and what it may use."""

    spill: Path
    memory_limit: str | None
    threads: int | None


def split_file(file: ExportFile, target: Path, folders: FolderClasses | None, room: Room, now: datetime) -> None:
    """Split one file in one pass into the folder `target`: Parquet by month, and the record. `folders` of messages, None
    for a calendar. Raises BadInput when the file cannot be read whole."""
    temp = target.with_name(TEMP_PREFIX + target.name)
    shutil.rmtree(temp, ignore_errors=True)
    try:
        with storage_errors(f"splitting {file.title}"):
            record = _split_into(make_folder(temp), file, folders, room, now)
            if not record.months and not record.mailboxes and set(_reasons(record)) == {"not_json"}:
                raise BadInput(f"{file.title} is not JSON lines; export it again or take it out of the folder")
            put_bytes(temp / RECORD, msgspec.json.encode(record))
            adopt_folder(temp, target)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def standing_split(split: Path) -> SplitRecord | None:
    """The record of a split that is there and whole. Erasing somebody takes staged files away, also from a split that is
    being made: what is left of it is no split."""
    record = _read_record(split)
    return record if record and all((split / f"{month}.parquet").is_file() for month in record.months) else None


def _read_record(split: Path) -> SplitRecord | None:
    try:
        return msgspec.json.decode((split / RECORD).read_bytes(), type=SplitRecord)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _split_into(
    folder: Path, file: ExportFile, folders: FolderClasses | None, room: Room, now: datetime
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
        return _write_months(engine, folder, file)


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


def split_lock(split: Path) -> Path:
    """flock of one split: held by whoever makes or removes it (the janitor too)."""
    return split.with_name(f"{split.name}.lock")


def sweep_stale(home: Path, keys: Mapping[str, str]) -> None:
    """Remove splits whose export file is gone or another one by now; `keys` are the present ones by file."""
    for split in sorted(home.iterdir()):
        if split.name.startswith(TEMP_PREFIX) or (record := _read_record(split)) is None:
            continue
        file = record.file
        if keys.get(file, split.name) != split.name or not Path(file).exists():
            with suppress(BlockingIOError), locked(split_lock(split), wait=False):
                shutil.rmtree(split, ignore_errors=True)


def _windows_zones() -> pa.Table:
    """Columns name (lower case), zone (IANA)."""
    import pyarrow as pa

    names, zones = list(WINDOWS_ZONES), list(WINDOWS_ZONES.values())
    return pa.table([names, zones], schema=pa.schema([("name", pa.string()), ("zone", pa.string())]))


def _read_rows(engine: duckdb.DuckDBPyConnection, model: str, parameters: dict[str, Any], file: ExportFile) -> None:
    """Read the file into the table `split_rows`. Raises BadInput when it cannot be read whole."""
    import duckdb

    try:
        create_table(engine, "split_rows", model, parameters)
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if is_disk_full(error):
            raise
        raise unreadable(file, error) from None


def _write_months(engine: duckdb.DuckDBPyConnection, folder: Path, file: ExportFile) -> SplitRecord:
    """Write `split_rows` month by month below the folder, and sum up what has no month."""
    months: list[str] = []
    rejected: dict[str, dict[str, int]] = {}
    rows = engine.table("split_rows")
    for bucket, count in sorted(rows.aggregate("bucket, count(*)").fetchall()):
        kind, _, detail = bucket.partition(".")
        if kind == "rejected":
            reason, _, month = detail.rpartition(".")
            rejected.setdefault(month, {})[reason] = count
        elif kind != "summary":
            copy_to_parquet(engine, _MONTH_ROWS, folder / f"{bucket}.parquet", {"bucket": bucket}, "snappy")
            months.append(bucket)
    mailboxes = engine.execute(sql(MODELS, "split_mailboxes")).fetchall()
    return SplitRecord(
        file=str(file.path),
        months=months,
        rejected=rejected,
        mailboxes=dict(mailboxes),
    )


def _reasons(record: SplitRecord) -> Iterator[str]:
    for reasons in record.rejected.values():
        yield from reasons
