"""Ties that a user hid or marked wrong (K7): a table of the epoch's ledger, personal, gone with the epoch.

Here is who is marked with whom; what a mark takes away is decided where ties are shown (insights, `hidden_ties`).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from relationship_pipeline.consent.epoch_ledger import epoch_transaction
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

_TABLE = """create table if not exists tie_mark (
    kind text not null,
    subject text not null,
    account_id text,
    user_id text not null,
    reason text not null,
    made_at text not null,
    made_by text not null,
    primary key (kind, subject, user_id)
)"""


class TieKind(StrEnum):
    """What stands at the other end of a colleague's tie."""

    CONTACT = "contact"
    COMPANY = "company"
    COLLEAGUE = "colleague"


class TieReason(StrEnum):
    """Why a tie is not shown: somebody does not want it seen, or it is none."""

    HIDDEN = "hidden"
    WRONG = "wrong"


@dataclass(frozen=True)
class TieMark:
    """One tie that is not shown, of the colleague with directory id `user_id`. `subject`: the contact's address, the
    company's domain, or another colleague's directory id. `account_id`: the account that the domain stood for when it was
    marked. `made_by`: the directory id of who asked for it, or `administrator`."""

    kind: TieKind
    subject: str
    account_id: str | None
    user_id: str
    reason: TieReason
    made_at: datetime
    made_by: str


class TieMarks:
    """The marks of one epoch. Opens its file for each call, so that no handle outlives a withdrawal."""

    def __init__(self, layout: Layout, epoch: str) -> None:
        self.layout = layout
        self.epoch = epoch

    def add(self, mark: TieMark) -> None:
        """Record a mark; one of the same tie is replaced, keeping the time it was made."""
        with self._write() as connection:
            connection.execute(
                "insert into tie_mark values (?, ?, ?, ?, ?, ?, ?) on conflict do update "
                "set account_id = excluded.account_id, reason = excluded.reason, made_by = excluded.made_by",
                (*astuple(mark)[:5], mark.made_at.isoformat(), mark.made_by),
            )

    def remove(self, kind: TieKind, subject: str, user_id: str) -> bool:
        """Take a mark back; returns whether there was one."""
        with self._write() as connection:
            deleted = connection.execute(
                "delete from tie_mark where kind = ? and subject = ? and user_id = ?", (kind, subject, user_id)
            )
            return deleted.rowcount > 0

    def entries(self) -> list[TieMark]:
        """All marks, oldest first. Raises Refused when the ledger is unreadable."""
        with epoch_transaction(self.layout.epoch(self.epoch).ledger, read_only=True) as connection:
            if connection.execute("select 1 from sqlite_master where name = 'tie_mark'").fetchone() is None:
                return []
            rows = connection.execute("select * from tie_mark order by made_at, rowid").fetchall()
        return [
            TieMark(TieKind(kind), subject, account, user, TieReason(reason), datetime.fromisoformat(made_at), made_by)
            for kind, subject, account, user, reason, made_at, made_by in rows
        ]

    def forget(self, user_ids: Collection[str], addresses: Collection[str]) -> None:
        """Remove what names these people (W5)."""
        gone = sorted({*user_ids, *addresses})
        holes = ", ".join("?" * len(gone))
        with self._write() as connection:
            connection.execute(
                f"delete from tie_mark where subject in ({holes}) or user_id in ({holes})",  # noqa: S608 (holes only)
                [*gone, *gone],
            )
            connection.execute(
                f"update tie_mark set made_by = 'administrator' where made_by in ({holes})",  # noqa: S608
                gone,
            )

    def table(self) -> pa.Table:
        """The marks as builds of insights read them, schemas.TIE_MARKS."""
        import pyarrow as pa

        from relationship_pipeline.schemas import TIE_MARKS

        rows = [dict(zip(TIE_MARKS.names, astuple(mark), strict=False)) for mark in self.entries()]
        return pa.Table.from_pylist(rows, schema=TIE_MARKS)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with ControlLedger(self.layout).write_epoch(self.epoch) as connection:
            connection.execute(_TABLE)
            yield connection


def marks_digest(marks: pa.Table) -> str:
    """Changes when other ties are marked; for the manifests of what is built under them."""
    rows = sorted(repr(row) for row in marks.to_pylist())
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
