"""The SQLite file of one epoch, `epochs/<epoch>/ledger.sqlite`: made once, when consent is given; personal.

It is never made again later: one that is missing may have held opt-outs, so whoever needs it is refused (C4, O1).
Other rooms keep tables of their own in it (crawl state).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from relationship_pipeline.errors import PipelineError, Refused

SCHEMA_VERSION = 1
"""`pragma user_version` of the file. Raise it with every change of the tables below."""

_SCHEMA = """
begin immediate;
create table if not exists opt_out (
    kind text not null,
    subject text not null,
    scopes text not null,
    mode text not null,
    made_at text not null,
    since text,
    ended_at text,
    source text not null
);
create table if not exists scope_group (
    group_id text primary key
);
create table if not exists snapshot (
    group_id text primary key,
    first_taken_at text not null,
    last_taken_at text not null
);
create table if not exists membership (
    group_id text not null,
    user_id text not null,
    starts_at text,
    ends_at text
);
create index if not exists membership_by_group on membership (group_id, user_id);
create table if not exists person_erasure (
    request integer primary key,
    subject text not null,
    scope text not null,
    status text not null,
    requested_at text not null,
    changed_at text not null
);
pragma user_version = 1;
commit;
"""


def create_epoch_ledger(path: Path) -> None:
    """Make the file with its tables, private to the owner."""
    with closing(sqlite3.connect(path)) as connection:
        path.chmod(0o600)
        connection.executescript(_SCHEMA)


@contextmanager
def epoch_transaction(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """A transaction on the file; a writer holds the fence. Raises Refused when it is missing, damaged, locked or of
    another version of this program."""
    mode = "ro" if read_only else "rw"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)) as connection:
            connection.execute("pragma synchronous = full")
            connection.execute("pragma secure_delete = on")
            require_version(connection, "the epoch's ledger.sqlite", SCHEMA_VERSION)
            with connection:
                yield connection
    except sqlite3.DatabaseError as error:
        require_space(error)
        raise Refused(
            "the epoch's ledger.sqlite cannot be read, so opt-outs are unknown and nothing goes on; restore that file"
        ) from error


def require_space(error: sqlite3.DatabaseError) -> None:
    """Raises PipelineError where a ledger is not damaged: there was no room to write to it."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        raise PipelineError(
            "the disk is full, so nothing can be recorded: free some space and run this again"
        ) from error


def require_version(connection: sqlite3.Connection, what: str, version: int) -> None:
    """Raises Refused, in one line that says what to do, where a ledger's tables are those of another version."""
    (found,) = connection.execute("pragma user_version").fetchone()
    if found != version:
        raise Refused(
            f"{what} was written by another version of this program (its tables are version {found}, this one knows "
            f"{version}): go on with that version, or withdraw and erase with it and begin in a new data directory"
        )
