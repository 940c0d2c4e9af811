"""Opt-outs, collection scope and membership snapshots of one epoch: `epochs/<epoch>/ledger.sqlite` (O1-O6).

Opt-outs made by hand also outlive the epoch as keyed hashes in the control ledger (C5), with the key in
`control/optout.key`: whoever holds the key can test an address against them, nobody can list them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from relationship_pipeline.consent.epoch_ledger import epoch_transaction
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.optout import Interval, Kind, Mode, OptOut, Scope, parse_scopes, scopes_text
from relationship_pipeline.durable import put_bytes
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import Layout

KEPT_KINDS = frozenset({Kind.USER, Kind.ADDRESS, Kind.DOMAIN})
"""C5: what a person or administrator did by hand about people; group ids are settings of one consent."""

_HELD = "held by "
"""Memberships under this and an entry's digest: the users for whom the entry held, whatever their addresses became."""

_KEPT_NAME = """create table if not exists kept_name (
    digest text not null,
    entry text not null,
    primary key (digest, entry)
)"""
"""By what else a kept entry is known: hash of the name, hash of the entry. Made at first use, for data directories that
are older than it."""


class OptOuts:
    """The opt-outs of one epoch. Opens its file for each call, so that no handle outlives a withdrawal."""

    def __init__(self, layout: Layout, epoch: str) -> None:
        self.layout = layout
        self.epoch = epoch
        self.control = ControlLedger(layout)

    def _write(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.control.write_epoch(self.epoch)

    def _read(self) -> AbstractContextManager[sqlite3.Connection]:
        return epoch_transaction(self.layout.epoch(self.epoch).ledger, read_only=True)

    def add(self, entry: OptOut) -> None:
        """Record an entry; an open one of the same kind and subject, of this epoch or kept from an earlier one, is replaced,
        keeping the time it was made."""
        kept = self.kept().match(entry.kind, [entry.subject])
        with self._write() as connection:
            earlier = self._open_entry(connection, entry.kind, entry.subject)
            if earlier is not None:
                connection.execute(
                    "delete from opt_out where kind = ? and subject = ? and ended_at is null",
                    (entry.kind.value, entry.subject),
                )
            if earlier is not None or kept:
                entry = replace(entry, made_at=(earlier or kept[0]).made_at)
            _insert(connection, entry)
            if entry.kind in KEPT_KINDS:
                self._keep(entry)

    def end(self, kind: Kind, subject: str, now: datetime, bearer: str | None = None) -> bool:
        """Take an entry back (`opt-in`); returns whether there was one, in this epoch or kept from an earlier one. Where
        none has that name, those go that hold for `bearer`, the user who has the address now. It stays as ended, so that
        what was received while it held is not collected (O1)."""
        kept = self.kept()
        found = {kept.digest(kind, one.subject): one for one in kept.match(kind, [subject])}
        with self._write() as connection:
            is_open = self._open_entry(connection, kind, subject) is not None
            if bearer is not None and not found and not is_open:
                known = kept.known_by(bearer).items()
                found = {digest: replace(one, subject=subject) for digest, one in known if one.kind is kind}
            names = {kept.digest(kind, one): one for one in _open_subjects(connection, kind)}
            for digest, one in found.items():
                if digest not in names:
                    _insert(connection, replace(one, ended_at=now))
                _end_holding(connection, digest, one, now)
            ended = {subject} | {names[digest] for digest in found if digest in names}
            connection.executemany(
                "update opt_out set ended_at = ? where kind = ? and subject = ? and ended_at is null",
                [(now.isoformat(), kind.value, one) for one in ended],
            )
        for digest in found:  # last: killed before it, this leaves whoever it is out
            self._forget(digest)
        return is_open or bool(found)

    def entries(self) -> list[OptOut]:
        """All entries of the epoch, taken-back ones included, oldest first. Raises Refused when unreadable."""
        with self._read() as connection:
            rows = connection.execute("select * from opt_out order by rowid").fetchall()
        return [_entry(row) for row in rows]

    def kept(self, *, create: bool = False) -> KeptOptOuts:
        """What was opted out by hand, in this epoch or before it, as hashes. `create`: with a key even where none are."""
        with self.control.connect() as connection:
            connection.execute(_KEPT_NAME)
            rows = connection.execute("select digest, kind, scopes, mode, made_at, since from kept_opt_out").fetchall()
            names = connection.execute("select digest, entry from kept_name").fetchall()
        stand = bool(rows or names)
        key = optout_key(self.layout, create=not stand) if stand or create else b""
        return KeptOptOuts(key, {str(row[0]): row for row in rows}, names)

    def hold(
        self, kept: KeptOptOuts, users: Mapping[str, Collection[str]], names: Mapping[str, Collection[str]]
    ) -> None:
        """Remember for whom of the directory kept entries hold: digest of the entry -> user ids, and the further names
        under which it is to be known. Of both hashes are kept (C5)."""
        new = [pair for more in (users, names) for entry, known in more.items() for pair in kept.unknown(entry, known)]
        if new:
            with self.control.commit_fence(self.epoch, Purpose.DERIVE), self.control.connect() as connection:
                connection.execute(_KEPT_NAME)
                connection.executemany("insert or ignore into kept_name values (?, ?)", new)
        held = {(_HELD + entry, user_id) for entry, user_ids in users.items() for user_id in user_ids}
        with self._read() as connection:
            held -= set(connection.execute("select group_id, user_id from membership where ends_at is null"))
        if held:
            since = {_HELD + entry: kept.since(entry).isoformat() for entry in users}
            with self._write() as connection:
                connection.executemany(
                    "insert into membership values (?, ?, ?, null)",
                    [(group, user_id, since[group]) for group, user_id in sorted(held)],
                )

    def drop_names(self, but_of: Collection[str]) -> None:
        """Forget by what else entries were known that stand no more: neither kept, nor among these digests."""
        kept = self.kept()
        gone = kept.named() - set(but_of)
        if gone:
            with self.control.commit_fence(self.epoch, Purpose.DERIVE), self.control.connect() as connection:
                connection.executemany("delete from kept_name where entry = ?", [(digest,) for digest in sorted(gone)])

    def held_before(self) -> dict[str, list[Interval]]:
        """User id -> when entries held for them that were taken back since."""
        found: dict[str, list[Interval]] = {}
        with self._read() as connection:
            rows = connection.execute(
                "select user_id, starts_at, ends_at from membership where group_id glob ? and ends_at is not null",
                (f"{_HELD}*",),
            )
            for user_id, starts_at, ends_at in rows:
                found.setdefault(user_id, []).append(Interval(_instant(starts_at), _instant(ends_at)))
        return found

    def add_scope_group(self, group_id: str) -> None:
        """O3: collect only from members of this group (and of the others named)."""
        with self._write() as connection:
            connection.execute("insert or ignore into scope_group values (?)", (group_id,))

    def remove_scope_group(self, group_id: str) -> bool:
        """Returns whether it was named."""
        with self._write() as connection:
            return connection.execute("delete from scope_group where group_id = ?", (group_id,)).rowcount > 0

    def scope_groups(self) -> list[str]:
        with self._read() as connection:
            return [row[0] for row in connection.execute("select group_id from scope_group order by 1")]

    def record_snapshot(
        self,
        members: Mapping[str, Collection[str]],
        taken_at: datetime,
        since: Mapping[str, datetime] = MappingProxyType({}),
    ) -> None:
        """Fold one reading of the groups (group id -> user ids of all its members, an empty group included) into the
        membership intervals, by O1's rule. A reading that is older than the newest one ends no membership. `since`: from
        when somebody is known to be one, by user id."""
        known = {user_id: _text(instant) for user_id, instant in since.items()}
        with self._write() as connection:
            for group_id, users in members.items():
                _fold(connection, group_id, set(users), _text(taken_at), known)

    def memberships(self) -> dict[str, dict[str, list[Interval]]]:
        """Group id -> user id -> intervals of membership; a group that was never read is absent."""
        with self._read() as connection:
            found: dict[str, dict[str, list[Interval]]] = {
                row[0]: {} for row in connection.execute("select group_id from snapshot")
            }
            rows = connection.execute("select * from membership where group_id not glob ?", (f"{_HELD}*",))
            for group_id, user_id, starts_at, ends_at in rows:
                found[group_id].setdefault(user_id, []).append(Interval(_instant(starts_at), _instant(ends_at)))
        return found

    def version(self) -> str:
        """Changes when any opt-out, scope or membership does; for manifests and for a check before a commit."""
        digest = hashlib.sha256()
        with self._read() as connection:
            for query in (
                "select * from opt_out order by 1, 2, 5",
                "select group_id from scope_group order by 1",
                "select * from membership order by 1, 2, 3, 4",
            ):
                digest.update(repr(connection.execute(query).fetchall()).encode())
        with self.control.connect() as connection:
            connection.execute(_KEPT_NAME)
            for query in ("select * from kept_opt_out order by 1", "select * from kept_name order by 1, 2"):
                digest.update(repr(connection.execute(query).fetchall()).encode())
        return digest.hexdigest()[:16]

    def _open_entry(self, connection: sqlite3.Connection, kind: Kind, subject: str) -> OptOut | None:
        row = connection.execute(
            "select * from opt_out where kind = ? and subject = ? and ended_at is null",
            (kind.value, subject),
        ).fetchone()
        return _entry(row) if row else None

    def _keep(self, entry: OptOut) -> None:
        digest = _digest(optout_key(self.layout, create=True), entry.kind, entry.subject)
        since = entry.since.isoformat() if entry.since else None
        with self.control.connect() as connection:
            connection.execute(
                "insert or replace into kept_opt_out values (?, ?, ?, ?, ?, ?)",
                (digest, entry.kind, scopes_text(entry.scopes), entry.mode, entry.made_at.isoformat(), since),
            )

    def _forget(self, digest: str) -> None:
        with self.control.commit_fence(self.epoch, Purpose.DERIVE), self.control.connect() as connection:
            connection.execute(_KEPT_NAME)
            connection.execute("delete from kept_name where entry = ?", (digest,))
            connection.execute("delete from kept_opt_out where digest = ?", (digest,))


class KeptOptOuts:
    """Opt-outs by hand that can be recognised but not listed."""

    def __init__(self, key: bytes, rows: Mapping[str, tuple[str, ...]], names: Iterable[tuple[str, str]] = ()) -> None:
        self._key = key
        self._rows = rows
        self._kinds = {row[1] for row in rows.values()}
        self._names: dict[str, set[str]] = {}
        for name, entry in names:
            self._names.setdefault(name, set()).add(entry)

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, kind: Kind, subjects: Iterable[str]) -> list[OptOut]:
        """The entries of this kind whose subject is among these, with the subject in clear."""
        if kind.value not in self._kinds:
            return []
        digests = ((self.digest(kind, subject), subject) for subject in subjects)
        return [self._in_clear(digest, subject) for digest, subject in digests if digest in self._rows]

    def named(self) -> set[str]:
        """Digests of entries that are known by further names and are not kept themselves."""
        return {entry for entries in self._names.values() for entry in entries} - set(self._rows)

    def digest(self, kind: str, subject: str) -> str:
        """What stands for an entry of this kind and subject."""
        return _digest(self._key, kind, subject)

    def since(self, digest: str) -> datetime:
        """When an entry began."""
        entry = self._in_clear(digest, "")
        return entry.since or entry.made_at

    def known_by(self, name: str) -> dict[str, OptOut]:
        """By digest, the entries that are known by this name too; their own subject is not kept, so the name stands as
        it."""
        return {digest: self._in_clear(digest, name) for digest in self.digests_of(name) if digest in self._rows}

    def digests_of(self, name: str) -> Collection[str]:
        """All that is known by this name, kept or not."""
        return self._names.get(_digest(self._key, _NAME, name), ()) if self._names else ()

    def unknown(self, entry: str, names: Iterable[str]) -> list[tuple[str, str]]:
        """Of these names of an entry, those it is not yet known by, as rows."""
        digests = [_digest(self._key, _NAME, name) for name in names]
        return [(digest, entry) for digest in digests if entry not in self._names.get(digest, ())]

    def _in_clear(self, digest: str, subject: str) -> OptOut:
        _, kind, scopes, mode, made_at, since = self._rows[digest]
        return _entry((kind, subject, scopes, mode, made_at, since, None, "kept"))


def optout_key(layout: Layout, *, create: bool = False) -> bytes:
    """The 32 byte key of the kept hashes. Raises Refused when hashes stand and their key is gone (fail closed)."""
    path = layout.optout_key
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if not create:
            raise Refused(
                "control/optout.key is missing, so kept opt-outs cannot be recognised; restore it before anything else"
            ) from None
    put_bytes(path, secrets.token_bytes(32))
    return path.read_bytes()


_NAME = "name"


def _digest(key: bytes, kind: str, subject: str) -> str:
    return hmac.digest(key, f"{kind}:{subject}".encode(), "sha256").hex()


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _fold(
    connection: sqlite3.Connection, group_id: str, users: set[str], taken_at: str, since: Mapping[str, str]
) -> None:
    last = connection.execute("select last_taken_at from snapshot where group_id = ?", (group_id,)).fetchone()
    rows = connection.execute("select user_id from membership where group_id = ? and ends_at is null", (group_id,))
    members = {row[0] for row in rows}
    if last is not None and taken_at <= last[0]:
        # The clock may have run ahead once: whoever joined since must not be collected until that time has come.
        joined = [(group_id, user, taken_at) for user in sorted(users - members)]
        connection.executemany("insert into membership values (?, ?, ?, null)", joined)
        return
    connection.executemany(
        "update membership set ends_at = ? where group_id = ? and user_id = ? and ends_at is null",
        [(taken_at, group_id, user) for user in members - users],
    )
    not_shown = [last[0]] if last else []
    connection.executemany(
        "insert into membership values (?, ?, ?, null)",
        [
            (group_id, user, min([*not_shown, *([since[user]] if user in since else [])], default=None))
            for user in sorted(users - members)
        ],
    )
    connection.execute(
        "insert into snapshot values (?, ?, ?) on conflict (group_id) do update set last_taken_at = ?",
        (group_id, taken_at, taken_at, taken_at),
    )


def _open_subjects(connection: sqlite3.Connection, kind: Kind) -> list[str]:
    rows = connection.execute("select subject from opt_out where kind = ? and ended_at is null", (kind.value,))
    return [row[0] for row in rows]


def _end_holding(connection: sqlite3.Connection, digest: str, entry: OptOut, now: datetime) -> None:
    if entry.scopes & {Scope.MAILBOX, Scope.EVERYWHERE}:
        query = "update membership set ends_at = ? where group_id = ? and ends_at is null"
        connection.execute(query, (now.isoformat(), _HELD + digest))
    else:  # their mailbox was read all the while
        connection.execute("delete from membership where group_id = ? and ends_at is null", (_HELD + digest,))


def _insert(connection: sqlite3.Connection, entry: OptOut) -> None:
    connection.execute("insert into opt_out values (?, ?, ?, ?, ?, ?, ?, ?)", _row(entry))


def _row(entry: OptOut) -> tuple[str | None, ...]:
    return (
        entry.kind.value,
        entry.subject,
        scopes_text(entry.scopes),
        entry.mode.value,
        entry.made_at.isoformat(),
        entry.since.isoformat() if entry.since else None,
        entry.ended_at.isoformat() if entry.ended_at else None,
        entry.source,
    )


def _entry(row: tuple[str | None, ...]) -> OptOut:
    kind, subject, scopes, mode, made_at, since, ended_at, source = row
    return OptOut(
        kind=Kind(str(kind)),
        subject=str(subject),
        scopes=parse_scopes(scopes, Kind(str(kind))),
        mode=Mode(str(mode)),
        made_at=datetime.fromisoformat(str(made_at)),
        since=_instant(since),
        ended_at=_instant(ended_at),
        source=str(source),
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
