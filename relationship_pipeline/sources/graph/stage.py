"""What a crawl has on disk while it runs: its plan, and the parts of its units (reliability.md 5.2).

A unit is one window of one mailbox. A part is a numbered file with rows of one or several units; its Parquet metadata
says which rows are whose, and holds for each of them the cursor that is true once the part is there, so a cursor can
never be ahead of its rows. Nothing here makes a folder above the crawl's own: where the epoch's tree is gone, writing
fails, so an erased epoch cannot come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from relationship_pipeline.durable import TEMP_PREFIX, put_bytes
from relationship_pipeline.errors import ConsentRefused

PLAN = "plan.json"


class Cursor(msgspec.Struct, kw_only=True):
    """Where a unit stands after a part: read on from `position`; `done` once its count was proven."""

    position: str
    done: bool = False
    walked: int = 0
    tally: int | None = None
    corrupt: int = 0
    rejected: dict[str, int] = {}


@dataclass(frozen=True)
class Unit:
    """One window of one mailbox: rows whose `field` lies in [start, end), and received in `received` where given."""

    mailbox: str
    field: str
    start: datetime
    end: datetime
    received: tuple[datetime, datetime] | None = None

    @property
    def name(self) -> str:
        parts = (self.mailbox, self.field, self.start.isoformat(), self.end.isoformat(), str(self.received))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the planning pass found of one mailbox: a count of items, or why there is none."""

    count: int | None = None
    outcome: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A crawl that was begun: the closing instant of its windows, and every mailbox's size."""

    begun_at: datetime
    until: datetime
    entries: dict[str, Entry]


PLAN_LIFETIME = timedelta(hours=48)
"""A crawl broken off longer ago than this is begun anew: its finished units would show an old state of the mailboxes."""
CALENDAR_LIFETIME = timedelta(hours=12)
"""The same of a calendar, of which no later reading says what changed since; less than a day, so that the next daily run
reads anew what was committed and could not be cleared away."""


@dataclass(frozen=True)
class Piece:
    """Rows of one unit that go into a part, and where the unit stands once they are there."""

    unit: Unit
    batches: Sequence[pa.RecordBatch]
    cursor: Cursor

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for batch in self.batches)


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A piece in a part's metadata; pieces lie one after the other."""

    unit: str
    rows: int
    cursor: Cursor


_CONTENTS = b"units"
_ENTRIES = msgspec.json.Decoder(list[_Entry])


class Stage:
    """The folder of one crawl. `checkpoint` is called before every durable write. `lifetime`: how long a crawl that was
    broken off may be taken up again."""

    def __init__(
        self, folder: Path, schema: pa.Schema, checkpoint: Callable[[], None], lifetime: timedelta = PLAN_LIFETIME
    ) -> None:
        self.folder = folder
        self._lifetime = lifetime
        self._schema = schema
        self._checkpoint = checkpoint
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            raise tree_is_gone() from None
        self._cursors: dict[str, Cursor] = {}
        self._unfinished: dict[str, list[tuple[Path, int, int]]] = {}
        self._parts: list[Path] = []
        for path in sorted(folder.iterdir()):
            if path.name.startswith(TEMP_PREFIX):
                path.unlink(missing_ok=True)
            elif path.suffix == ".parquet":
                self._note(path, _ENTRIES.decode(pq.read_schema(path).metadata[_CONTENTS]))

    def keep_only(self, units: Iterable[Unit]) -> None:
        """Drop the parts where one of them holds any other unit: of a window that is not read any more, or of a mailbox
        that is not. Its rows would be taken for this crawl's."""
        if self._cursors and not self._cursors.keys() <= {unit.name for unit in units}:
            # The newest first: what is left when the process dies here is the stage as it once was. Were the oldest gone,
            # a unit could be called done by a later part though its first rows are not there any more.
            for path in reversed(self._parts):
                path.unlink(missing_ok=True)
            self._forget()

    def _forget(self) -> None:
        self._parts.clear()
        self._cursors.clear()
        self._unfinished.clear()

    @property
    def parts(self) -> list[Path]:
        """Every part, oldest first."""
        return list(self._parts)

    def cursor(self, unit: Unit) -> Cursor | None:
        """Where the unit stands by its last part, None before the first."""
        return self._cursors.get(unit.name)

    def item_ids(self, unit: Unit) -> Iterator[str]:
        """The items that the parts have of a unit that is not done."""
        for path, first, rows in self._unfinished.get(unit.name, ()):
            yield from pq.read_table(path, columns=["item_id"]).column(0).slice(first, rows).to_pylist()

    def put(self, pieces: Sequence[Piece]) -> None:
        """Append a part durably. Raises ConsentRefused when the checkpoint does or the epoch's tree is gone."""
        entries = [_Entry(piece.unit.name, piece.rows, piece.cursor) for piece in pieces]
        batches = [batch for piece in pieces for batch in piece.batches]
        sink = pa.BufferOutputStream()
        # Ids are unique, addresses are few to a part: no dictionaries. A part is read once and dropped: lz4 takes a
        # quarter of zstd's CPU for half as many bytes again.
        with pq.ParquetWriter(
            sink,
            self._schema.with_metadata({_CONTENTS: msgspec.json.encode(entries)}),
            compression="lz4",
            use_dictionary=False,
            write_statistics=False,
        ) as writer:
            writer.write_table(pa.Table.from_batches(batches, schema=self._schema))
        path = self.folder / f"part-{len(self._parts):06d}.parquet"
        self._put(path, memoryview(sink.getvalue()))
        self._note(path, entries)

    def _note(self, path: Path, entries: Sequence[_Entry]) -> None:
        self._parts.append(path)
        first = 0
        for entry in entries:
            self._cursors[entry.unit] = entry.cursor
            if entry.cursor.done:
                self._unfinished.pop(entry.unit, None)
            else:
                self._unfinished.setdefault(entry.unit, []).append((path, first, entry.rows))
            first += entry.rows

    def read_plan(self, now: datetime) -> Plan | None:
        """The plan of a crawl that was broken off lately; older ones are swept away with their parts."""
        plan = self._load_plan()
        if plan is None or now - plan.begun_at > self._lifetime or now < plan.begun_at:
            self.sweep()
            return None
        return plan

    def _load_plan(self) -> Plan | None:
        try:
            return msgspec.json.decode((self.folder / PLAN).read_bytes(), type=Plan)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def put_plan(self, plan: Plan) -> None:
        self._put(self.folder / PLAN, memoryview(msgspec.json.encode(plan)))

    def sweep_settled(self, settled_at: datetime | None) -> None:
        """Drop a crawl whose rows were committed before it could be cleared away."""
        plan = self._load_plan()
        if plan is not None and settled_at is not None and plan.begun_at <= settled_at:
            self.sweep()

    def sweep(self) -> None:
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)
        self._forget()

    def _put(self, path: Path, content: memoryview) -> None:
        self._checkpoint()
        try:
            put_bytes(path, content, make_parents=False)
        except FileNotFoundError:
            raise tree_is_gone() from None


def tree_is_gone() -> ConsentRefused:
    """What a crawl ends with when its epoch was erased under it."""
    return ConsentRefused("the consent this run started under has ended: its files are gone")
