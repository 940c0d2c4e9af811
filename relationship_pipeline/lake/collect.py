"""From staged copies to a month of the lake: scope, normalisation, de-duplication, cap, quality record (B2, B5-B9, O1).

What a source staged is judged again here: only copies whose owner may be read now, and was when they were received,
get in. The rows of a month are a function of those copies and of what an earlier run had collected, whatever their
order, so that a re-run gives the same files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.addresses import X500, normalize_address
from relationship_pipeline.domain.folders import LEFT_OUT
from relationship_pipeline.domain.months import month_end, month_start
from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.engine import (
    copy_to_parquet,
    create_table,
    create_view,
    identifier,
    keep_build_sides,
    open_engine,
    sql,
    storage_errors,
)
from relationship_pipeline.lake.manifest import LEFT_OUT as LEFT_OUT_FILE
from relationship_pipeline.lake.manifest import DataFile, Manifest
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.lake.writer import CommitFence, commit_manifest, write_part
from relationship_pipeline.layout import Layout
from relationship_pipeline.schemas import INSTANT, STAGED_EMAIL, STAGED_MEETING
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from relationship_pipeline.sources.base import Directory, Staged

MODELS = "relationship_pipeline.lake.models"
EMAIL_TABLE = "email"
MEETINGS_TABLE = "meetings"
PLANNED_TABLE = "planned_meetings"


class Rules(Protocol):
    """Who and what may be collected, as consent/enforcement.py reads it (O1-O6): Arrow tables.

    readable(mailbox, since, until): copies received in [since, until) may be collected; null is open.
    hidden(address), hidden_domains(domain): may not appear as sender, recipient, organizer or attendee.
    """

    @property
    def readable(self) -> pa.Table: ...

    @property
    def hidden(self) -> pa.Table: ...

    @property
    def hidden_domains(self) -> pa.Table: ...


@dataclass(frozen=True)
class Collection:
    """What every collection step needs: where the lake is, who may be collected, and the fence around its commit.
    `recognise` picks, from all addresses of a month, those suppressed under an earlier consent (C5): only their hashes
    are kept, so no table can name them beforehand."""

    layout: Layout
    epoch: str
    rules: Rules
    directory: Directory
    settings: Settings
    fence: CommitFence
    recognise: Callable[[list[str]], list[str]] | None = None


def collect_emails(collection: Collection, month: str, staged: Staged) -> Manifest:
    """Replace the month of the lake table `email` by what was staged, and what an earlier run had collected from
    mailboxes that were not read now. Raises ConsentRefused, BadLake (what stands is damaged and
    only what is new was read), and PipelineError when the disk is full; the old month stands then."""
    folder = collection.layout.epoch(collection.epoch).month(EMAIL_TABLE, month)
    with _work(collection, EMAIL_TABLE, month) as engine:
        if not staged.is_covered and (standing := open_table(folder)) is not None:
            return _keep(collection, folder, standing, month, staged)
        earlier, damage = _earlier_files(folder, staged)
        _register_rules(engine, collection, staged, month_start(month), month_end(month))
        engine.register("left_out_folders", _one_column("folder_class", sorted(LEFT_OUT)))
        _view_staged(engine, staged.files, STAGED_EMAIL, "received_at")
        create_view(engine, "read_copies", _model("read_staged"))
        _resolve_odd_rows(engine, collection.directory)
        create_table(engine, "copies", _model("copies"))
        if earlier:
            engine.execute(f"insert into copies by name {_model('earlier_copies')}", {"files": earlier})
        create_table(engine, "repeated_copies", _model("repeated_copies"))
        create_table(engine, "ranked_copies", _model("ranked_copies"), {"cap": collection.settings.batch_cap})
        hidden = _hidden(engine, collection, "present_addresses")
        part = _write_part(engine, folder, EMAIL_TABLE, _model("email"), {"hidden": hidden})
        left_out = _write_left_out(engine, folder, "dropped_copies")
        quality, first_at, last_at = _email_quality(engine, staged, damage)
        return commit_manifest(
            folder,
            epoch=collection.epoch,
            table=EMAIL_TABLE,
            month=month,
            files=(part, left_out),
            fence=collection.fence,
            quality=quality,
            first_at=first_at,
            last_at=last_at,
            read_at=_read_at(staged, last_at),
        )


def collect_meetings(collection: Collection, month: str, staged: Staged) -> Manifest:
    """Replace the month of the lake table `meetings`; otherwise as `collect_emails`."""
    folder = collection.layout.epoch(collection.epoch).month(MEETINGS_TABLE, month)
    return _collect_calendar(collection, MEETINGS_TABLE, month, folder, (month_start(month), month_end(month)), staged)


def collect_planned_meetings(collection: Collection, start: datetime, end: datetime, staged: Staged) -> Manifest:
    """Replace the lake table `planned_meetings` by the meetings that start in [start, end) (B4); nothing that an
    earlier run had collected stays. Raises as `collect_emails`."""
    folder = collection.layout.epoch(collection.epoch).table(PLANNED_TABLE)
    return _collect_calendar(collection, PLANNED_TABLE, None, folder, (start, end), staged)


def _collect_calendar(
    collection: Collection,
    table: str,
    month: str | None,
    folder: Path,
    interval: tuple[datetime, datetime],
    staged: Staged,
) -> Manifest:
    include_private = {"include_private": collection.settings.meetings.include_private}
    with _work(collection, table, month) as engine:
        if month and not staged.is_covered and (standing := open_table(folder)) is not None:
            return _keep(collection, folder, standing, month, staged)
        earlier, damage = _earlier_files(folder, staged) if month else ([], [])
        _register_rules(engine, collection, staged, *interval)
        _view_staged(engine, staged.files, STAGED_MEETING, "start_at")
        create_view(engine, "read_meetings", _model("read_staged"))
        create_table(engine, "meeting_people", _model("meeting_people"))
        _register_resolved(engine, collection.directory, "meeting_people")
        create_table(engine, "resolved_people", _model("resolved_people"))
        create_table(engine, "meeting_copies", _model("meeting_copies"), include_private)
        if earlier:
            engine.execute(f"insert into meeting_copies by name {_model('earlier_meetings')}", {"files": earlier})
        create_table(engine, "ranked_meetings", _model("ranked_meetings"))
        hidden = _hidden(engine, collection, "present_in_meetings")
        part = _write_part(engine, folder, table, _model("meetings"), {"hidden": hidden})
        left_out = _write_left_out(engine, folder, "dropped_meetings")
        quality, first_at, last_at = _meeting_quality(engine, staged, damage)
        return commit_manifest(
            folder,
            epoch=collection.epoch,
            table=table,
            month=month,
            files=(part, left_out),
            fence=collection.fence,
            quality=quality,
            first_at=first_at,
            last_at=last_at,
            read_at=_read_at(staged),
        )


NOT_HELD = "the source no longer holds this month; what was collected before stays"
CUT_SHORT = "the source no longer holds this month, which was last read before it ended"


def _keep(collection: Collection, folder: Path, standing: Manifest, month: str, staged: Staged) -> Manifest:
    """Commit the month again as it stands: its rows and its record, and a note why they were not read again."""
    return commit_manifest(
        folder,
        epoch=collection.epoch,
        table=standing.table,
        month=month,
        files=standing.files,
        fence=collection.fence,
        inputs=standing.inputs,
        quality=kept_quality(standing.quality, read_whole=standing.shows_until >= month_end(month)),
        first_at=standing.first_at,
        last_at=standing.last_at,
        read_at=_read_at(staged, standing.last_at),
    )


def _read_at(staged: Staged, last_at: datetime | None = None) -> datetime | None:
    """As of when the source was read, where that is not now; not before the youngest email, for copying an export may lose
    the times of its files."""
    return staged.read_at and min(datetime.now(UTC), max(staged.read_at, last_at or staged.read_at))


def kept_quality(quality: Mapping[str, Any], *, read_whole: bool) -> dict[str, Any]:
    """The quality record of a month that was not read again. `read_whole`: it had ended when it was; else the rest of it
    is missing, and the month is partial. A month that was kept once stays what that made of it."""
    if NOT_HELD in quality.get("notes", ()):
        return dict(quality)
    reasons = [*quality["partial_reasons"], *(() if read_whole else (CUT_SHORT,))]
    return {
        **quality,
        "notes": [NOT_HELD],
        "partial_reasons": reasons,
        "status": "partial" if reasons else quality["status"],
    }


def _meeting_quality(
    engine: duckdb.DuckDBPyConnection, staged: Staged, damage: list[str]
) -> tuple[dict[str, Any], datetime | None, datetime | None]:
    """The quality record of meetings: copies_read = distinct_meetings + duplicates + sum(dropped)."""
    counts = _one_row(engine, _model("meeting_counts"))
    dropped = _dropped(engine, staged)
    quality = {
        "copies_read": counts["distinct_meetings"] + counts["duplicates"] + sum(dropped.values()),
        "distinct_meetings": counts["distinct_meetings"],
        "duplicates": counts["duplicates"],
        "dropped": dict(sorted(dropped.items())),
        "unresolved_addresses": counts["unresolved_addresses"],
        "kept_earlier": counts["kept_earlier"],
        **_reading(staged, [*staged.partial_reasons, *damage]),
    }
    return quality, counts["first_at"], counts["last_at"]


def _email_quality(
    engine: duckdb.DuckDBPyConnection, staged: Staged, damage: list[str]
) -> tuple[dict[str, Any], datetime | None, datetime | None]:
    """The quality record of B9, and when the first and last copy were received.

    copies_read = distinct_emails + duplicates + sum(dropped) + left_out_copies; `kept_earlier` copies are among them.
    """
    counts = _one_row(engine, _model("email_counts"))
    dropped = _dropped(engine, staged)
    if counts["meeting_messages"]:
        dropped["meeting_message"] = counts["meeting_messages"]
    reasons = [*staged.partial_reasons, *damage]
    if counts["left_out_by_cap"]:
        reasons.append(f"the cap left out {counts['left_out_by_cap']} emails")
    read = counts["distinct_emails"] + counts["duplicates"] + sum(dropped.values()) + counts["left_out_copies"]
    quality = {
        "copies_read": read,
        "distinct_emails": counts["distinct_emails"],
        "duplicates": counts["duplicates"],
        "dropped": dict(sorted(dropped.items())),
        "left_out_by_cap": counts["left_out_by_cap"],
        "left_out_copies": counts["left_out_copies"],
        "unresolved_addresses": counts["unresolved_addresses"],
        "clock_corrected": counts["clock_corrected"],
        "by_day": [copies for (copies,) in engine.execute(_model("copies_by_day")).fetchall()],
        "kept_earlier": counts["kept_earlier"],
        **_reading(staged, reasons),
    }
    return quality, counts["first_at"], counts["last_at"]


def _dropped(engine: duckdb.DuckDBPyConnection, staged: Staged) -> dict[str, int]:
    """By reason, what the source rejected and what the rows do not show."""
    dropped = Counter(staged.rejected)
    dropped.update(dict(engine.execute(_model("dropped_by_reason")).fetchall()))
    return dict(dropped)


def _reading(staged: Staged, reasons: list[str]) -> dict[str, Any]:
    """The part of a quality record that the source says."""
    return {
        "mailboxes": dict(staged.mailboxes),
        "expected_copies": staged.expected_copies,
        "walked_copies": staged.walked_copies,
        "partial_reasons": reasons,
        "not_provided": list(staged.not_provided),
        "status": "partial" if reasons else "complete",
    }


def _earlier_files(folder: Path, staged: Staged) -> tuple[list[str], list[str]]:
    """The files of the month as it stands, and, where they are damaged, that as a reason to call it partial: a whole
    reading rebuilds the month but for rows that could not be read again. Raises BadLake when only what is new was
    read."""
    try:
        manifest = open_table(folder)
    except BadLake:
        if staged.read_since:
            raise
        return [], ["the month's files were damaged: rows of mailboxes that were not read now are lost"]
    return [str(path) for path in manifest.paths(folder)] if manifest else [], []


@contextmanager
def _work(collection: Collection, table: str, month: str | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """The lock of this piece of work, which an eraser or a restore may hold for a while, and an engine to do it in; a full
    disk becomes one line."""
    layout, settings = collection.layout, collection.settings
    epoch = layout.epoch(collection.epoch)
    what = f"{table} of {month}" if month else table
    with (
        locked(layout.table_lock(table, month)),
        storage_errors(f"writing {what}"),
        open_engine(epoch.spill, memory_limit=settings.memory_limit, threads=settings.threads) as engine,
    ):
        keep_build_sides(engine)
        engine.execute(_model("functions"))
        yield engine


def _register_rules(
    engine: duckdb.DuckDBPyConnection, collection: Collection, staged: Staged, starts: datetime, ends: datetime
) -> None:
    """Register what decides which rows get in: readable, hidden, hidden_domains, unread, done, bounds; and view
    `read_again`."""
    import pyarrow as pa

    engine.register("readable", collection.rules.readable)
    engine.register("hidden", collection.rules.hidden)
    engine.register("hidden_domains", collection.rules.hidden_domains)
    unread = pa.schema([("mailbox", pa.string()), ("copies", pa.int64())])
    engine.register("unread", pa.table([list(staged.unread), list(staged.unread.values())], schema=unread))
    mailboxes = sorted(staged.read_mailboxes | staged.read_since.keys())
    done = pa.schema([("mailbox", pa.string()), ("since", INSTANT)])
    engine.register("done", pa.table([mailboxes, [staged.read_since.get(name) for name in mailboxes]], schema=done))
    bounds = pa.schema([("starts", INSTANT), ("ends", INSTANT)])
    engine.register("bounds", pa.table([[starts], [ends]], schema=bounds))
    create_view(engine, "read_again", _model("read_again"))


def _view_staged(engine: duckdb.DuckDBPyConnection, files: Iterable[Path], schema: pa.Schema, instant: str) -> None:
    """The staged files as the view `staged`, with file and row number as the rows' names, and as `dated_at` the column that
    says which month a row belongs to."""
    import pyarrow as pa

    paths = [str(path) for path in files]
    if paths:
        rows = engine.read_parquet(paths, filename=True, file_row_number=True, hive_partitioning=False)
        rows.project(f"*, {identifier(instant)} as dated_at").create_view("staged")
    else:
        further = pa.schema([("filename", pa.string()), ("file_row_number", pa.int64()), ("dated_at", INSTANT)])
        engine.register("staged", pa.schema([*schema, *further]).empty_table())


def _resolve_odd_rows(engine: duckdb.DuckDBPyConnection, directory: Directory) -> None:
    """Tables odd_addresses and odd_rows: rows with addresses that need more than lower case."""
    create_table(engine, "raw_addresses", _model("raw_addresses"))
    create_table(engine, "odd_addresses", _model("odd_addresses"))
    _register_resolved(engine, directory, "odd_addresses")
    create_table(engine, "odd_rows", _model("odd_rows"))


def _register_resolved(engine: duckdb.DuckDBPyConnection, directory: Directory, table: str) -> None:
    """Register resolved(raw, address): what the distinct `raw` texts of a table mean (N1, X500 by the directory)."""
    import pyarrow as pa

    raw = [text for (text,) in engine.table(table).project("raw").distinct().fetchall() if text is not None]
    mapped = _mapped_by_directory(directory)
    schema = pa.schema([("raw", pa.string()), ("address", pa.string())])
    engine.register("resolved", pa.table([raw, [_resolve(text, mapped) for text in raw]], schema=schema))


def _resolve(raw: str | None, mapped: dict[str, str | None]) -> str | None:
    """N1: the address, or what the directory maps the text to where it is none."""
    address = normalize_address(raw)
    if address is None:
        return mapped.get((raw or "").strip().lower())
    return mapped.get(address) if address.startswith(X500) else address


def _mapped_by_directory(directory: Directory) -> dict[str, str | None]:
    """Primary address by what is no address but names a user: X500 keys, and principal names that are malformed."""
    users = directory.users.select(["user_id", "primary_address", "user_principal_name"]).to_pylist()
    primary = {user["user_id"]: user["primary_address"] for user in users}
    rows = directory.addresses.to_pylist()
    mapped = {row["address"]: primary.get(row["user_id"]) for row in rows if row["address"].startswith(X500)}
    for user in users:
        name = (user["user_principal_name"] or "").strip().lower()
        if name and normalize_address(name) is None:
            mapped[name] = user["primary_address"]
    return mapped


def _hidden(engine: duckdb.DuckDBPyConnection, collection: Collection, model: str) -> list[str]:
    """Of the addresses that the model finds in the copies, those that may not appear (O4-O6, C5); leaves view `present`."""
    create_view(engine, "present", _model(model))
    rules = collection.rules
    found: set[str] = set()
    if rules.hidden.num_rows or rules.hidden_domains.num_rows:
        found.update(address for (address,) in engine.execute(_model("hidden_addresses")).fetchall())
    if collection.recognise is not None:
        found.update(collection.recognise([address for (address,) in engine.view("present").fetchall()]))
    return sorted(found)


def _write_left_out(engine: duckdb.DuckDBPyConnection, folder: Path, model: str) -> DataFile:
    """The counts by mailbox of what the rows do not show; leaves table `dropped`, which `model` makes."""
    create_table(engine, "not_in_scope", _model("not_in_scope"))
    create_table(engine, "dropped", _model(model))
    return _write_part(engine, folder, LEFT_OUT_FILE, _model("left_out"), {})


def _write_part(
    engine: duckdb.DuckDBPyConnection, folder: Path, table: str, query: str, parameters: dict[str, Any]
) -> DataFile:
    return write_part(folder, table, lambda path: copy_to_parquet(engine, query, path, parameters))


def _one_row(engine: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _one_column(name: str, values: list[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table([values], schema=pa.schema([(name, pa.string())]))


def _model(name: str) -> str:
    return sql(MODELS, name)
