"""What the crawl remembers between runs, in one SQLite file of the epoch: special folders of each mailbox, and how far
each committed month holds each mailbox.

The memory is a convenience: where it is lost or does not fit the lake any more, folders are asked for again and months
are read whole.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from relationship_pipeline.errors import PipelineError
from relationship_pipeline.sources.graph.stage import tree_is_gone

_SCHEMA = """
create table if not exists special_folders (mailbox text primary key, read_at text not null, ids blob not null);
create table if not exists settled (month text primary key, content_id text not null, coverage blob not null);
"""
_KNOWN = """
select mailbox from special_folders where mailbox in (select value from json_each(?)) and read_at >= ?
"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a committed month holds one mailbox: with every copy that was there at `read_at`. `walked_at` is when the
    whole month was last read, which is also when deletions in the mailbox were last mirrored; `count` is how many items
    the service counted in the month then."""

    read_at: datetime
    walked_at: datetime
    count: int | None = None


class CrawlState:
    """Opens the file for each call; never makes a folder, so an erased epoch stays gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=30)) as connection:
                self._path.chmod(0o600)
                connection.execute("pragma secure_delete = on")
                connection.executescript(_SCHEMA)
                with connection:
                    yield connection
        except (sqlite3.DatabaseError, FileNotFoundError) as error:
            if not self._path.exists():
                raise tree_is_gone() from None
            raise PipelineError(
                f"stage/{self._path.name} cannot be used ({error}); remove it and run this again"
            ) from None

    def folders(self, mailbox: str, since: datetime) -> dict[str, str] | None:
        """Special folder ids with their class, None where they were not asked for since then."""
        with self._open() as db:
            row = db.execute("select read_at, ids from special_folders where mailbox = ?", (mailbox,)).fetchone()
        if row is None or datetime.fromisoformat(row[0]) < since:
            return None
        return msgspec.json.decode(row[1], type=dict[str, str])

    def without_folders(self, mailboxes: Sequence[str], since: datetime) -> list[str]:
        """Those of the mailboxes whose special folders were not asked for since then, in the same order."""
        with self._open() as db:
            known = {name for (name,) in db.execute(_KNOWN, (json.dumps(mailboxes), since.isoformat()))}
        return [mailbox for mailbox in mailboxes if mailbox not in known]

    def put_folders(self, folders: Mapping[str, Mapping[str, str]], now: datetime) -> None:
        """Remember the special folders of some mailboxes."""
        rows = [(mailbox, now.isoformat(), msgspec.json.encode(ids)) for mailbox, ids in folders.items()]
        with self._open() as db:
            db.executemany("insert or replace into special_folders values (?, ?, ?)", rows)

    def coverage(self, month: str, content_id: str | None) -> dict[str, Coverage]:
        """Coverage of a month by mailbox, empty where the month's rows are not those that were settled."""
        if content_id is None or not self._path.exists():
            return {}
        with self._open() as db:
            row = db.execute("select content_id, coverage from settled where month = ?", (month,)).fetchone()
        if row is None or row[0] != content_id:
            return {}
        return msgspec.json.decode(row[1], type=dict[str, Coverage])

    def settle(self, month: str, content_id: str, coverage: Mapping[str, Coverage]) -> None:
        """Note that these rows, committed, hold the mailboxes so far."""
        with self._open() as db:
            db.execute(
                "insert or replace into settled values (?, ?, ?)", (month, content_id, msgspec.json.encode(coverage))
            )
