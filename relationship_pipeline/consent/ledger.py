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
from itertools import dropwhile

from relationship_pipeline.consent.epoch_ledger import (
    create_epoch_ledger,
    epoch_transaction,
    require_space,
    require_version,
)
from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.consent import (
    CONSENT_TEXT_VERSION,
    ENDED_STATES,
    LIVE_STATES,
    ConsentLevel,
    ConsentRecord,
    ConsentState,
    Purpose,
    may_change,
    refusal,
)
from relationship_pipeline.domain.erasure import Erasure, ErasureState, requested
from relationship_pipeline.domain.months import backfill_months
from relationship_pipeline.durable import fsync_folder, make_folder
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.layout import Layout

SCHEMA_VERSION = 2
"""`pragma user_version` of the file. Raise it with every change of the tables below."""

_SCHEMA = """
begin immediate;
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
create table if not exists erasure (
    epoch text primary key,
    state text not null,
    working_on text,
    blocked text not null default '',
    source text not null,
    reason text not null,
    requested_at text not null,
    due_app text not null,
    due_backup text not null,
    facts text not null default '{}'
);
create table if not exists erasure_step (
    epoch text not null,
    state text not null,
    reached_at text not null
);
create table if not exists directory_watch (
    epoch text primary key,
    first_miss_at text,
    application text
);
create table if not exists clock (
    id integer primary key check (id = 0),
    last_seen_at text not null
);
create table if not exists worker (
    token text primary key,
    pid integer not null,
    started integer not null,
    epoch text not null,
    what text not null
);
create table if not exists kept_opt_out (
    digest text primary key,
    kind text not null,
    scopes text not null,
    mode text not null,
    made_at text not null,
    since text
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
insert or ignore into role_grant values
    ('salesperson', 'kpis'), ('salesperson', 'who_knows_whom'),
    ('sales_manager', 'kpis'), ('sales_manager', 'who_knows_whom');
pragma user_version = 2;
commit;
"""
_LAST = """
select * from consent_event
where epoch = coalesce(?, (select epoch from consent_event where reason = 'provided' order by seq desc limit 1))
order by seq desc limit 1
"""


class ControlLedger:
    """Opens the file for each call and closes it again: no handle outlives a fork, a kill or an erasure."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the ledger, created on first use. Raises ConsentRefused when it cannot be read, Refused when
        another version of this program wrote it."""
        path = self.layout.control_ledger
        make_folder(path.parent)
        try:
            with closing(sqlite3.connect(path, timeout=30)) as connection:
                path.chmod(0o600)
                connection.execute("pragma synchronous = full")
                connection.execute("pragma secure_delete = on")
                if not _has_schema(connection):
                    connection.executescript(_SCHEMA)
                require_version(connection, "control/ledger.sqlite", SCHEMA_VERSION)
                with connection:
                    yield connection
        except sqlite3.DatabaseError as error:
            require_space(error)
            raise ConsentRefused(
                "consent cannot be read: control/ledger.sqlite is damaged or locked; restore it before anything else"
            ) from error

    def current(self) -> ConsentRecord | None:
        """The newest epoch's record, or None before the first consent."""
        return self.record_of(None)

    def record_of(self, epoch: str | None) -> ConsentRecord | None:
        """An epoch's record as of its last event (None: the newest epoch's); None where there is none."""
        if not self.layout.control_ledger.exists():
            return None
        with self.connect() as connection:
            return self._last(connection, epoch)

    def next_granted_at(self, epoch: str) -> datetime | None:
        """When the first consent after this epoch's was given (W6); None where this one is the newest."""
        given = [record for record, reason in self.history() if reason == "provided"]
        later = dropwhile(lambda record: record.epoch != epoch, given)
        return next((record.granted_at for record in list(later)[1:]), None)

    def live_epochs(self) -> list[str]:
        """Epochs whose data stays: the newest one, unless its consent has ended."""
        record = self.current()
        return [record.epoch] if record is not None and record.state not in ENDED_STATES else []

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

    @contextmanager
    def write_epoch(self, epoch: str) -> Iterator[sqlite3.Connection]:
        """A transaction on the epoch's own ledger, inside the fence: nothing personal is written once consent has ended.
        Raises ConsentRefused, and Refused like `epoch_transaction`."""
        with (
            self.commit_fence(epoch, Purpose.DERIVE),
            epoch_transaction(self.layout.epoch(epoch).ledger) as connection,
        ):
            yield connection

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

        `history_until` moves B1's window (the 12 whole months before it), for runs with a fixed `as_of`. After a
        withdrawal a new epoch starts from nothing while the deletion of the old one goes on (W6); an Exchange export
        that was put into the inbox under the old consent goes with the old epoch. Raises Refused while the directory
        withholds its confirmation.
        """
        with locked(self.layout.fence_lock), self.connect() as connection:
            live = self._last(connection)
            if live is not None and live.state is ConsentState.PRESUMED_WITHDRAWN:
                raise Refused(
                    "the directory no longer shows the consent: grant it there, and it counts again by itself, "
                    "or run `relationship-pipeline consent withdraw` first"
                )
            renewed = live is not None and live.state in LIVE_STATES
            if renewed and live is not None:
                epoch, granted_at, first_month = live.epoch, live.granted_at, live.first_month
            else:
                count = connection.execute("select count(distinct epoch) from consent_event").fetchone()[0]
                epoch = f"e{count + 1:04d}-{secrets.token_hex(4)}"
                if live is not None:
                    self._hand_inbox_to(live.epoch)
                granted_at, first_month = now, backfill_months(history_until or now)[0]
                tree = make_folder(self.layout.epoch(epoch).root)
                for name in ("lake", "insights", "published", "tmp", "spill", "stage", "exports"):
                    make_folder(tree / name)
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
        the new state forbids can happen. Repeating the present state changes nothing. Raises Refused for a change that
        C6 does not know."""
        with locked(self.layout.fence_lock), self.connect() as connection:
            return self._change(connection, epoch, state, now, reason)

    def withdraw(
        self,
        epoch: str,
        *,
        now: datetime,
        source: str,
        reason: str,
        admin: str | None = None,
        since: datetime | None = None,
    ) -> Erasure:
        """Close the fence and record the deletion, in one transaction under the exclusive lock (W1, C6): when this
        returns, no commit of the epoch can happen and its deadlines run (from `since`, for a withdrawal that was
        presumed earlier). Repeating it changes nothing. Raises Refused for an epoch that never was."""
        with locked(self.layout.fence_lock), self.connect() as connection:
            found = read_erasure(connection, epoch)
            if found is not None:
                return found
            self._change(connection, epoch, ConsentState.WITHDRAWN, now, reason, admin)
            erasure = requested(epoch, since or now, source=source, reason=reason)
            connection.execute(
                "insert into erasure values (?, ?, ?, '', ?, ?, ?, ?, ?, '{}')",
                (
                    epoch,
                    ErasureState.FENCED.value,
                    None,
                    source,
                    reason,
                    erasure.requested_at.isoformat(),
                    erasure.due_app.isoformat(),
                    erasure.due_backup.isoformat(),
                ),
            )
            connection.executemany(
                "insert into erasure_step values (?, ?, ?)",
                [(epoch, state.value, now.isoformat()) for state in (ErasureState.REQUESTED, ErasureState.FENCED)],
            )
            return replace(erasure, state=ErasureState.FENCED, working_on=None)

    def first_miss(self, epoch: str) -> datetime | None:
        """When the directory first did not show the epoch's grant, in the row of misses under way (C6)."""
        with self.connect() as connection:
            row = connection.execute("select first_miss_at from directory_watch where epoch = ?", (epoch,)).fetchone()
        return datetime.fromisoformat(row[0]) if row and row[0] else None

    def set_first_miss(self, epoch: str, at: datetime | None) -> None:
        with self.connect() as connection:
            connection.execute(
                "insert into directory_watch (epoch, first_miss_at) values (?, ?) "
                "on conflict (epoch) do update set first_miss_at = excluded.first_miss_at",
                (epoch, at.isoformat() if at else None),
            )

    def application(self, epoch: str) -> str | None:
        """The application whose grant the directory has shown under this consent."""
        with self.connect() as connection:
            row = connection.execute("select application from directory_watch where epoch = ?", (epoch,)).fetchone()
        return row[0] if row else None

    def set_application(self, epoch: str, application: str) -> None:
        with self.connect() as connection:
            connection.execute(
                "insert into directory_watch (epoch, application) values (?, ?) "
                "on conflict (epoch) do update set application = excluded.application",
                (epoch, application),
            )

    def _change(
        self,
        connection: sqlite3.Connection,
        epoch: str,
        state: ConsentState,
        now: datetime,
        reason: str,
        admin: str | None = None,
    ) -> ConsentRecord:
        last = self._last(connection, epoch)
        if last is None:
            raise Refused(f"there is no epoch {epoch}; `relationship-pipeline consent status` names the current one")
        if last.state is state:
            return last
        if not may_change(last.state, state):
            raise Refused(f"the consent of epoch {epoch} is {last.state.value} and cannot become {state.value}")
        record = replace(last, state=state, changed_at=now, admin=admin or last.admin)
        self._append(connection, record, reason)
        return record

    def _last(self, connection: sqlite3.Connection, epoch: str | None = None) -> ConsentRecord | None:
        row = connection.execute(_LAST, (epoch,)).fetchone()
        return _record(row) if row else None

    def _hand_inbox_to(self, epoch: str) -> None:
        """Interfaces.md 5: what lies in `inbox/data_connect` belongs to the consent it was put there under."""
        inbox, tree = self.layout.inbox_data_connect, self.layout.epoch(epoch).root
        if inbox.is_dir() and not inbox.is_symlink() and tree.is_dir():
            inbox.rename(tree / "inbox_data_connect")
            fsync_folder(tree)

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


def read_erasure(connection: sqlite3.Connection, epoch: str) -> Erasure | None:
    """One deletion's row of the control ledger."""
    row = connection.execute(
        "select epoch, state, working_on, blocked, source, reason, requested_at, due_app, due_backup "
        "from erasure where epoch = ?",
        (epoch,),
    ).fetchone()
    if row is None:
        return None
    return Erasure(
        epoch=row[0],
        state=ErasureState(row[1]),
        working_on=ErasureState(row[2]) if row[2] else None,
        blocked=row[3],
        source=row[4],
        reason=row[5],
        requested_at=datetime.fromisoformat(row[6]),
        due_app=datetime.fromisoformat(row[7]),
        due_backup=datetime.fromisoformat(row[8]),
    )


def _has_schema(connection: sqlite3.Connection) -> bool:
    found = connection.execute("select count(*) from sqlite_master where type = 'table'").fetchone()
    return bool(found[0])


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
