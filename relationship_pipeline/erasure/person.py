"""Erasing one person (W5, O2), and who is due: requests by number in the epoch's ledger, rows by erasure/rewrite.py.

A request also is an opt-out by hand, so that nothing is collected again, in this epoch or a later one (C5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.enforcement import Rules
from relationship_pipeline.consent.epoch_ledger import epoch_transaction
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.consent.tie_marks import TieMarks
from relationship_pipeline.domain.addresses import normalize_address
from relationship_pipeline.domain.optout import DEFAULT_SCOPES, EVERYWHERE, Kind, Mode, OptOut, Scope
from relationship_pipeline.erasure.rewrite import (
    EMAIL,
    INTERACTIONS,
    MEETINGS,
    MODELS,
    PLANNED,
    Without,
    rewrite_in_fresh_process,
)
from relationship_pipeline.errors import BadInput, BadLake, PipelineError
from relationship_pipeline.lake.engine import open_engine, sql
from relationship_pipeline.lake.manifest import MANIFEST, read_manifest
from relationship_pipeline.layout import EpochLayout, Layout
from relationship_pipeline.settings import Settings
from relationship_pipeline.sources.base import Directory

if TYPE_CHECKING:
    import duckdb


class Status(StrEnum):
    """W5."""

    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    NO_REQUEST = "NO_REQUEST"


@dataclass(frozen=True)
class Person:
    """Somebody, as far as an address leads: user ids of the directory, and all their addresses."""

    user_ids: frozenset[str]
    addresses: frozenset[str]


def identify(directory: Directory | None, address: str, persons: Mapping[str, frozenset[str]]) -> Person:
    """The directory's users who have this address, with all of theirs, and whom the CRM lists under it, by `persons`
    (address -> all of the person's); any other outside address stands for itself."""
    address = address.strip().lower()
    rows = directory.addresses.to_pylist() if directory else []
    users = directory.users.to_pylist() if directory else []
    ids = {row["user_id"] for row in rows if row["address"] == address}
    ids |= {row["user_id"] for row in users if address in (row["primary_address"], row["user_principal_name"])}
    addresses = {row["address"] for row in rows if row["user_id"] in ids}
    return Person(frozenset(ids), frozenset(addresses | {address} | persons.get(address, frozenset())))


def address_of(text: str) -> str:
    """The address that a person typed, as rows hold it (N1). Raises BadInput where it is none."""
    address = normalize_address(text)
    if address is None or "@" not in address:
        raise BadInput("that is not one address; write it as name@example.com")
    return address


def request_erasure(layout: Layout, epoch: str, address: str, *, everywhere: bool, now: datetime) -> str:
    """Record that somebody is to be erased and opt them out; returns the request's number, which is no personal data.
    A request for the same address that is not completed is taken up again. Raises BadInput, ConsentRefused."""
    address = address_of(address)
    opt_outs = OptOuts(layout, epoch)
    # whoever opted out everywhere before stays so: an erasure never shows anybody again
    hidden = any(Scope.EVERYWHERE in entry.scopes for entry in opt_outs.kept().match(Kind.USER, [address]))
    scopes = EVERYWHERE if everywhere or hidden else DEFAULT_SCOPES
    opt_outs.add(OptOut(Kind.USER, address, scopes, Mode.ERASE, made_at=now, source="erase person"))
    if everywhere:
        opt_outs.add(OptOut(Kind.ADDRESS, address, scopes, Mode.ERASE, made_at=now, source="erase person"))
    scope = "everywhere" if everywhere else "mailbox"
    with ControlLedger(layout).write_epoch(epoch) as connection:
        open_one = connection.execute(
            "select request from person_erasure where subject = ? and scope = ? and status <> ?",
            (address, scope, Status.COMPLETED),
        ).fetchone()
        if open_one is not None:
            return str(open_one[0])
        cursor = connection.execute(
            "insert into person_erasure (subject, scope, status, requested_at, changed_at) values (?, ?, ?, ?, ?)",
            (address, scope, Status.PROCESSING, now.isoformat(), now.isoformat()),
        )
        return str(cursor.lastrowid)


def run_request(
    settings: Settings,
    epoch: str,
    request: str,
    directory: Directory | None,
    persons: Mapping[str, frozenset[str]],
    *,
    rebuild: Callable[[], None],
    now: Callable[[], datetime],
) -> Status:
    """Carry a recorded request out: rewrite, `rebuild` (insights and published databases), look whether anything is
    left. `persons` as `identify` takes them. Safe to repeat. Raises the PipelineError that stopped it, its status then FAILED."""
    layout = settings.layout
    with epoch_transaction(layout.epoch(epoch).ledger, read_only=True) as connection:
        row = connection.execute("select subject, scope from person_erasure where request = ?", (request,)).fetchone()
    if row is None:
        return Status.NO_REQUEST
    person = identify(directory, row[0], persons)
    everywhere = row[1] == "everywhere"
    without = Without(person.user_ids, person.addresses if everywhere else frozenset())
    _set_status(layout, epoch, request, Status.PROCESSING, now())
    try:
        _take_out(settings, epoch, without)
        rebuild()
        left = count_left(layout.epoch(epoch), without, settings)
        if left:
            raise PipelineError(f"{left} file(s) still hold something of this person after the rewrite; run it again")
    except PipelineError:
        _set_status(layout, epoch, request, Status.FAILED, now())
        raise
    _set_status(layout, epoch, request, Status.COMPLETED, now())
    return Status.COMPLETED


def people_due(tree: EpochLayout, rules: Rules, settings: Settings) -> Without:
    """Whose existing data must go by the rules (O2, groups in mode `erase`) and is still held: what a refresh erases.
    Empty (false) when nobody is due. Looks at the lake, so it needs no book-keeping and forgets nothing."""
    wanted = forbidden(tree, rules, settings)
    if not wanted:
        return wanted
    with open_engine(tree.spill, memory_limit=settings.memory_limit, threads=settings.threads) as engine:
        held = any(_holds(engine, path, wanted) for path in _lake_files(tree, (EMAIL, MEETINGS, PLANNED)))
    return wanted if held else Without(frozenset())


def forbidden(tree: EpochLayout, rules: Rules, settings: Settings) -> Without:
    """Everybody whose data had to go, as far as this lake can know them: what a restored backup must not bring back
    (O4, W5). Domains become the addresses of theirs that occur, but for damaged files."""
    addresses = set(rules.erase_addresses)
    if rules.erase_domains:
        with open_engine(tree.spill, memory_limit=settings.memory_limit, threads=settings.threads) as engine:
            for table in (EMAIL, MEETINGS, PLANNED):
                for path in _row_files(tree, table):
                    model = sql(MODELS, f"{EMAIL if table == EMAIL else MEETINGS}_addresses_in_domains")
                    values = {"path": str(path), "domains": sorted(rules.erase_domains)}
                    addresses.update(address for (address,) in _found(engine, model, values) or ())
    return Without(frozenset(rules.erase_due), frozenset(addresses))


def count_left(tree: EpochLayout, without: Without, settings: Settings) -> int:
    """Files that still hold a copy of these mailboxes, or (for addresses) any mention, derived and published tables
    included. The directory and CRM rows are left out: those are the company's registers, not what was collected."""
    tables = (EMAIL, MEETINGS, PLANNED, INTERACTIONS)
    with open_engine(tree.spill, memory_limit=settings.memory_limit, threads=settings.threads) as engine:
        found = sum(_holds(engine, path, without) for path in _lake_files(tree, tables))
        if without.addresses:
            found += sum(_mentions(engine, path, without.addresses) for path in tree.root.glob("insights/*/*.parquet"))
    return found + sum(_database_mentions(path, without.addresses) for path in tree.published.glob("*.duckdb"))


def _lake_files(tree: EpochLayout, tables: Iterable[str]) -> list[Path]:
    return [path for table in tables for path in sorted((tree.lake / table).rglob("part-*.parquet"))]


def _row_files(tree: EpochLayout, table: str) -> list[Path]:
    """The committed files of rows, without a month's counts by mailbox."""
    paths: list[Path] = []
    for folder in sorted(path.parent for path in (tree.lake / table).rglob(MANIFEST)):
        with suppress(BadLake):
            manifest = read_manifest(folder)
            paths += manifest.paths(folder) if manifest else []
    return paths


def _found(engine: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]] | None:
    """A query's rows; None where a file cannot be read, being damaged or replaced meanwhile."""
    import duckdb

    try:
        return engine.execute(query, dict(values)).fetchall()
    except duckdb.Error:
        return None


def _holds(engine: duckdb.DuckDBPyConnection, path: Path, without: Without) -> bool:
    """Whether a file holds anything of these people, or cannot be read: then nobody knows that it does not."""
    if without.addresses and _mentions(engine, path, without.addresses):
        return True
    if path.is_relative_to(path.parents[2] / INTERACTIONS):
        return False
    found = _found(
        engine,
        "select 1 from read_parquet($path, hive_partitioning = false) where mailbox in (select unnest($mailboxes)) limit 1",
        {"path": str(path), "mailboxes": sorted(without.mailboxes)},
    )
    return found != []


def _mentions(engine: duckdb.DuckDBPyConnection, path: Path, addresses: Iterable[str]) -> bool:
    found = _found(
        engine,
        "select 1 from read_parquet($path, hive_partitioning = false) as t "
        "where regexp_matches(lower(cast(t as varchar)), $shape) limit 1",
        {"path": str(path), "shape": _shape(addresses)},
    )
    return found != []


def _database_mentions(path: Path, addresses: Iterable[str]) -> bool:
    import duckdb

    if not addresses:
        return False
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()]
        return any(
            connection.execute(
                "select 1 from query_table($table) as t where regexp_matches(lower(cast(t as varchar)), $shape) limit 1",
                {"table": table, "shape": _shape(addresses)},
            ).fetchone()
            for table in tables
        )


def _shape(addresses: Iterable[str]) -> str:
    """The addresses as whole words of a row's text."""
    names = "|".join(re.escape(address) for address in sorted(addresses))
    return rf"(^|[^a-z0-9._%+-])({names})($|[^a-z0-9.-])"


def erase_due_people(settings: Settings, epoch: str, rules: Rules) -> bool:
    """Take out everybody who is due, in a fresh process; returns whether anybody was. The caller builds insights and
    published databases anew afterwards."""
    due = people_due(settings.layout.epoch(epoch), rules, settings)
    if due:
        _take_out(settings, epoch, due)
    return bool(due)


def _take_out(settings: Settings, epoch: str, without: Without) -> None:
    rewrite_in_fresh_process(settings, epoch, without)
    TieMarks(settings.layout, epoch).forget(without.mailboxes, without.addresses)


def _set_status(layout: Layout, epoch: str, request: str, status: Status, now: datetime) -> None:
    with ControlLedger(layout).write_epoch(epoch) as connection:
        connection.execute(
            "update person_erasure set status = ?, changed_at = ? where request = ?", (status, now.isoformat(), request)
        )
