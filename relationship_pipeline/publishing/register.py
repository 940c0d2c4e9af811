"""What was shown and handed out, kept in the epoch's ledger: look-ups of who knows whom (V5) and exports (3.1).

Both are written before anything is shown, and a register that cannot be written refuses. A looked-up address is kept as
a keyed hash only; the key is the epoch's own and goes with it.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from relationship_pipeline.consent.epoch_ledger import epoch_transaction

if TYPE_CHECKING:
    import sqlite3

_TABLES = (
    "create table if not exists register_key (key blob not null)",
    """create table if not exists look_up (
        at text not null, role text not null, purpose text, looked_up_hash text not null, asked_for text not null
    )""",
    """create table if not exists export (
        number integer primary key, at text not null, kind text not null, role text not null, recipient text
    )""",
)


def record_look_up(ledger: Path, looked_up: str, role: str, purpose: str | None, at: datetime, kind: str) -> None:
    """Note one look-up in an epoch's ledger: `kind` says what was asked (`contact`, `company`). Raises Refused."""
    with epoch_transaction(ledger) as connection:
        digest = hmac.digest(_key(connection), looked_up.encode(), "sha256").hex()
        connection.execute(
            "insert into look_up (at, role, purpose, looked_up_hash, asked_for) values (?, ?, ?, ?, ?)",
            (at.astimezone(UTC).isoformat(), role, purpose, digest, kind),
        )


def record_export(ledger: Path, kind: str, role: str, recipient: str | None, at: datetime) -> int:
    """Note one export before it is written; returns its number in the register. Raises Refused."""
    with epoch_transaction(ledger) as connection:
        _create(connection)
        cursor = connection.execute(
            "insert into export (at, kind, role, recipient) values (?, ?, ?, ?)",
            (at.astimezone(UTC).isoformat(), kind, role, recipient),
        )
        return int(cursor.lastrowid or 0)


@dataclass(frozen=True)
class Export:
    """One line of the register."""

    number: int
    at: datetime
    kind: str
    role: str
    recipient: str | None


def list_exports(ledger: Path) -> list[Export]:
    """What was handed out under the epoch, oldest first: whom to tell of a withdrawal (GDPR art. 19). Raises Refused."""
    with epoch_transaction(ledger, read_only=True) as connection:
        if connection.execute("select 1 from sqlite_master where name = 'export'").fetchone() is None:
            return []
        rows = connection.execute("select number, at, kind, role, recipient from export order by number").fetchall()
    return [Export(number, datetime.fromisoformat(at), *rest) for number, at, *rest in rows]


def _create(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _key(connection: sqlite3.Connection) -> bytes:
    _create(connection)
    row = connection.execute("select key from register_key").fetchone()
    if row is None:
        row = (secrets.token_bytes(32),)
        connection.execute("insert into register_key values (?)", row)
    return bytes(row[0])
