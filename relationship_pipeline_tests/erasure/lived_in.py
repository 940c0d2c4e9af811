"""A data directory that has been lived in: every class of store of the data map holds something, made by the project's
own writers where they exist."""

from __future__ import annotations

import gzip
import json
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.optout import Kind, OptOut, default_mode, default_scopes
from relationship_pipeline.durable import make_folder, put_bytes, temp_path
from relationship_pipeline.erasure.backups import BackupStore, make_backup
from relationship_pipeline.erasure.steps import Deletion, Hooks
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline.layout import Layout
from relationship_pipeline.schemas import EMAIL, MEETINGS

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ADMIN = "admin@contoso.example"
PEOPLE = ("amber", "bo", "cy")


@dataclass(frozen=True)
class Home:
    """A data directory under a live consent."""

    layout: Layout
    epoch: str

    @property
    def tree(self):
        return self.layout.epoch(self.epoch)

    @property
    def store(self) -> BackupStore:
        return BackupStore(self.layout.keys, self.layout.backups)

    def deletion(self, **changes) -> Deletion:
        """As an orchestrator-less motor starts it; the clock stands a minute after the consent."""
        made = Deletion(
            self.layout,
            self.epoch,
            self.store,
            hooks=Hooks(),
            now=lambda: NOW + timedelta(minutes=1),
            grace_seconds=0.05,
        )
        return replace(made, **changes)

    def withdraw(self, at: datetime = NOW):
        return ControlLedger(self.layout).withdraw(self.epoch, now=at, source="cli", reason="withdrawn", admin=ADMIN)


def consented(root: Path, now: datetime = NOW) -> Home:
    layout = Layout(root)
    return Home(layout, ControlLedger(layout).provide(ADMIN, now=now)[0].epoch)


def live_in(home: Home, *, backup: bool = True) -> Home:
    """Fill every class of store of the epoch and of the directory around it."""
    layout, tree = home.layout, home.tree
    commit(home, "email", "2026-10", email_rows(PEOPLE, datetime(2026, 10, 5, tzinfo=UTC)), EMAIL)
    commit(home, "meetings", "2026-10", meeting_rows(PEOPLE, datetime(2026, 10, 6, tzinfo=UTC)), MEETINGS)
    pairs = pa.table({"contact": ["kim@customer.example"], "user_id": ["id-amber"], "emails_sent": [3]})
    commit(home, "interactions", "2026-10", pairs.to_pylist(), pairs.schema)
    commit(home, "directory", None, [{"address": f"{name}@contoso.example"} for name in PEOPLE])
    put_bytes(tree.insight("contact_kpis") / "rows.json", b'{"contact_email": "kim@customer.example"}')
    publish(home)
    opt_outs = OptOuts(layout, home.epoch)
    kind = Kind.USER
    opt_outs.add(OptOut(kind, "cy@contoso.example", default_scopes(kind), default_mode(kind), made_at=NOW))
    put_bytes(tree.stage / "2026-10" / "unit.json", b'{"from": "kim@customer.example"}')
    put_bytes(tree.spill / "duckdb_temp_storage-0.tmp", b"kim@customer.example" * 10)
    put_bytes(tree.exports / "graph.csv", b"kim@customer.example,amber@contoso.example\n")
    if backup:
        make_backup(layout, home.store, home.epoch, NOW)
    put_bytes(layout.settings_file, b'source = "data_connect"\n')
    put_bytes(layout.first_month, b"2025-11\n")
    make_folder(layout.inbox_data_connect)
    with gzip.open(layout.inbox_data_connect / "Message_v1.json.gz", "wt") as file:
        file.write(json.dumps({"from": {"emailAddress": {"address": "kim@customer.example"}}}))
    put_bytes(layout.inbox_crm / "contacts.csv", b"contactid,emailaddress1\n1,kim@customer.example\n")
    put_bytes(layout.inbox_opt_outs, b"address,since\ncy@contoso.example,2026-01-01\n")
    dagster_home(layout)
    return home


def dagster_home(layout: Layout) -> Path:
    """What Dagster keeps: run rows with months and epoch ids."""
    put_bytes(layout.dagster_home / "dagster.yaml", b"telemetry:\n  enabled: false\n")
    path = make_folder(layout.dagster_home / "history") / "runs.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table if not exists runs (run_id text, run_body text)")
        connection.execute("insert into runs values ('1', '{\"partition\": \"2026-10\"}')")
    return path


def publish(home: Home) -> Path:
    """A role's database under its final name, with the link to it."""
    path = make_folder(home.tree.published) / "salesperson.duckdb"
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute(
            "create table contact_kpis as select 'kim@customer.example' as contact_email, 3 as emails_sent"
        )
    if not home.layout.published.is_symlink():
        home.layout.published.symlink_to(home.tree.published)
    return path


def commit(
    home: Home, table: str, month: str | None, rows: Iterable[dict[str, object]], schema: pa.Schema | None = None
) -> None:
    """Commit rows to the lake by the project's own writer, in its fence."""
    folder = home.tree.month(table, month) if month else home.tree.table(table)
    temp = temp_path(folder, ".parquet")
    content = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(content, temp, compression="zstd")
    part = adopt_part(temp, table, content.num_rows)
    fence = partial(ControlLedger(home.layout).commit_fence, home.epoch, Purpose.DERIVE)
    commit_manifest(folder, epoch=home.epoch, table=table, month=month, files=[part], fence=fence)


def key(text: str) -> bytes:
    return uuid.uuid5(uuid.NAMESPACE_URL, text).bytes


def email_rows(people: Iterable[str], at: datetime) -> list[dict[str, object]]:
    """One email from a customer to each person, each lying in that person's mailbox."""
    return [
        {
            "message_key": key(f"{name}-{at}"),
            "mailbox": f"id-{name}",
            "item_key": key(f"item-{name}-{at}"),
            "copy_rank": 1,
            "conversation_key": key("conversation"),
            "received_at": at,
            "sent_at": at - timedelta(minutes=1),
            "from_address": "kim@customer.example",
            "from_name": "Kim",
            "sender_address": "kim@customer.example",
            "to_addresses": [f"{name}@contoso.example"],
            "cc_addresses": [],
            "folder_class": "inbox",
            "is_meeting_message": False,
            "is_bulk": False,
        }
        for name in people
    ]


def meeting_rows(people: Iterable[str], at: datetime) -> list[dict[str, object]]:
    """One meeting with a customer, a copy in each person's calendar."""
    names = list(people)
    attendees = [{"address": f"{one}@contoso.example", "type": "required", "response": None} for one in names]
    return [
        {
            "meeting_key": key(f"meeting-{at}"),
            "mailbox": f"id-{name}",
            "item_key": key(f"event-{name}-{at}"),
            "series_key": None,
            "organizer_address": "kim@customer.example",
            "is_organizer": False,
            "own_response": "accepted",
            "attendees": attendees,
            "start_at": at,
            "end_at": at + timedelta(minutes=30),
            "is_all_day": False,
            "is_cancelled": False,
        }
        for name in names
    ]
