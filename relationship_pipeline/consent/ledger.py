"""The control ledger: who consented to what and when, and which role may see what. SQLite, append-only events.

The only personal field is the administrator's recorded name. Everything else personal (opt-outs, snapshots) lies in the
epoch's own ledger. Fails closed: a ledger that cannot be read refuses (C4).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from relationship_pipeline.consent.epoch_ledger import create_epoch_ledger
from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.consent import (
    CONSENT_TEXT_VERSION,
    ConsentLevel,
    ConsentRecord,
    ConsentState,
    Purpose,
    refusal,
)
from relationship_pipeline.domain.months import backfill_months
from relationship_pipeline.durable import make_folder
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.layout import Layout

_SCHEMA = """
create table if not exists consent_event (
    seq integer primary key,
    epoch text not null,
    state text not null,
    level text not null,
    admin text not null,
    admin_role text not null,
    verified integer not null,
    text_version text not null,
    granted_at text not null,
    changed_at text not null,
    first_month text not null,
    reason text not null
);
create table if not exists role_grant (
    role text not null,
    privilege text not null,
    primary key (role, privilege)
);
create table if not exists role (
    role text primary key
);
insert or ignore into role values ('salesperson'), ('sales_manager'), ('guest');
"""
_LAST = "select * from consent_event order by seq desc limit 1"
_FIRST_GRANTS = [(role, grant) for role in ("salesperson", "sales_manager") for grant in ("kpis", "who_knows_whom")]


class ControlLedger:
    """Opens the file for each call and closes it again: no handle outlives a fork, a kill or an erasure."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the ledger, created on first use. Raises ConsentRefused when it cannot be read."""
        path = self.layout.control_ledger
        make_folder(path.parent)
        fresh = not path.exists()
        try:
            with closing(sqlite3.connect(path, timeout=30)) as connection:
                path.chmod(0o600)
                connection.execute("pragma synchronous = full")
                connection.execute("pragma secure_delete = on")
                with connection:
                    if fresh or not _has_schema(connection):
                        connection.executescript(_SCHEMA)
                        connection.executemany("insert or ignore into role_grant values (?, ?)", _FIRST_GRANTS)
                    yield connection
        except sqlite3.DatabaseError as error:
            raise ConsentRefused(
                "consent cannot be read: control/ledger.sqlite is damaged or locked; restore it before anything else"
            ) from error

    def current(self) -> ConsentRecord | None:
        """The newest epoch's record, or None before the first consent."""
        if not self.layout.control_ledger.exists():
            return None
        with self.connect() as connection:
            row = connection.execute(_LAST).fetchone()
        return _record(row) if row else None

    def history(self) -> list[tuple[ConsentRecord, str]]:
        """Every event with its reason, oldest first."""
        if not self.layout.control_ledger.exists():
            return []
        with self.connect() as connection:
            rows = connection.execute("select * from consent_event order by seq").fetchall()
        return [(_record(row), row[-1]) for row in rows]

    def require(self, purpose: Purpose, epoch: str | None = None) -> ConsentRecord:
        """The live record, if it allows the purpose (and is this epoch's). Raises ConsentRefused."""
        record = self.current()
        why = refusal(record, purpose)
        if why is None and record is not None and epoch not in (None, record.epoch):
            why = "the consent this run started under has ended"
        if why is not None or record is None:
            raise ConsentRefused(why or "there is no consent")
        return record

    @contextmanager
    def commit_fence(self, epoch: str, purpose: Purpose) -> Iterator[None]:
        """Held around every commit: shared lock, consent read again under it (reliability.md 1.3)."""
        with locked(self.layout.fence_lock, shared=True):
            self.require(purpose, epoch)
            yield

    def provide(
        self,
        admin: str,
        *,
        now: datetime,
        level: ConsentLevel = ConsentLevel.IDENTIFIABLE,
        admin_role: str = "as stated",
        verified: bool = False,
        history_until: datetime | None = None,
    ) -> tuple[ConsentRecord, bool]:
        """Record a consent; returns it and whether a new epoch began. Under a live consent the level changes (C1, C5).

        `history_until` moves B1's window (the 12 whole months before it), for runs with a fixed `as_of`.
        """
        with locked(self.layout.fence_lock), self.connect() as connection:
            live = self._last(connection)
            if live is not None and live.state in (
                ConsentState.WITHDRAWN,
                ConsentState.PRESUMED_WITHDRAWN,
                ConsentState.ERASING,
            ):
                raise Refused(
                    "consent cannot be given while the withdrawn one is being deleted; "
                    "`relationship-pipeline erase run` finishes that"
                )
            renewed = live is not None and live.state in (ConsentState.GRANTED, ConsentState.SUSPECT)
            if renewed and live is not None:
                epoch, granted_at, first_month = live.epoch, live.granted_at, live.first_month
            else:
                count = connection.execute("select count(distinct epoch) from consent_event").fetchone()[0]
                epoch = f"e{count + 1:04d}-{secrets.token_hex(4)}"
                granted_at, first_month = now, backfill_months(history_until or now)[0]
                for name in ("lake", "insights", "published", "tmp", "spill", "stage", "exports"):
                    make_folder(self.layout.epoch(epoch).root / name)
                create_epoch_ledger(self.layout.epoch(epoch).ledger)
            record = ConsentRecord(
                epoch=epoch,
                state=ConsentState.GRANTED,
                level=level,
                admin=admin,
                admin_role=admin_role,
                verified=verified,
                text_version=CONSENT_TEXT_VERSION,
                granted_at=granted_at,
                changed_at=now,
                first_month=first_month,
            )
            self._append(connection, record, "renewed" if renewed else "provided")
        return record, not renewed

    def change_state(self, epoch: str, state: ConsentState, *, now: datetime, reason: str) -> ConsentRecord:
        """Append a new state for the epoch, under the exclusive lock: after this returns no commit of the epoch that
        the new state forbids can happen. Repeating the present state changes nothing. Raises Refused for another
        epoch than the newest."""
        with locked(self.layout.fence_lock), self.connect() as connection:
            last = self._last(connection)
            if last is None or last.epoch != epoch:
                raise Refused(f"epoch {epoch} is not the current one")
            if last.state is state:
                return last
            record = replace(last, state=state, changed_at=now)
            self._append(connection, record, reason)
        return record

    def _last(self, connection: sqlite3.Connection) -> ConsentRecord | None:
        row = connection.execute(_LAST).fetchone()
        return _record(row) if row else None

    def _append(self, connection: sqlite3.Connection, record: ConsentRecord, reason: str) -> None:
        connection.execute(
            "insert into consent_event values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.epoch,
                record.state.value,
                record.level.value,
                record.admin,
                record.admin_role,
                int(record.verified),
                record.text_version,
                record.granted_at.isoformat(),
                record.changed_at.isoformat(),
                record.first_month,
                reason,
            ),
        )


def _has_schema(connection: sqlite3.Connection) -> bool:
    found = connection.execute("select 1 from sqlite_master where name = 'consent_event'").fetchone()
    return found is not None


def _record(row: tuple[object, ...]) -> ConsentRecord:
    _, epoch, state, level, admin, role, verified, text_version, granted_at, changed_at, first_month, _ = row
    return ConsentRecord(
        epoch=str(epoch),
        state=ConsentState(str(state)),
        level=ConsentLevel(str(level)),
        admin=str(admin),
        admin_role=str(role),
        verified=bool(verified),
        text_version=str(text_version),
        granted_at=datetime.fromisoformat(str(granted_at)).astimezone(UTC),
        changed_at=datetime.fromisoformat(str(changed_at)).astimezone(UTC),
        first_month=str(first_month),
    )
