"""Generate input of any size: Data Connect export folders, or months of the lake directly (performance.md).

    python -m benchmarks.generate export FOLDER --copies 8000000 --month 2026-09
    python -m benchmarks.generate lake DATA_DIR --emails 8000000 --months 12 --as-of 2026-11-01

The same arguments give the same rows. A year of JSON at 8 M a month would not fit the disk of a small machine, which is
why P3 to P8 start from lake months.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.tenant import DOMAIN, Tenant
from benchmarks.traffic import Month
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentRecord, Purpose
from relationship_pipeline.domain.months import add_months, month_of, month_range
from relationship_pipeline.durable import make_folder, temp_path
from relationship_pipeline.lake.directory import store_directory
from relationship_pipeline.lake.engine import ROW_GROUP, open_engine, sql
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.schemas import DOMAINS, EMAIL, GROUP_MEMBERS, MEETINGS, USER_ADDRESSES, USERS
from relationship_pipeline.settings import Settings, SourceKind
from relationship_pipeline.sources.base import Directory

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MODELS = "benchmarks.models"
TENANT_ID = "7d6b1e0c-5a52-4c9f-9d43-1f0c8d6a2b11"
COPIES_PER_EMAIL = 1.6
"""Fewer than there are, so that an export of a number of copies never runs out of emails."""
BATCH = 200_000
ADMINISTRATOR = f"admin@{DOMAIN}"


def write_export(
    folder: Path, tenant: Tenant, month: str, copies: int, *, until: datetime | None = None
) -> dict[str, int]:
    """Write one month (to `until`) as an export folder of `copies` message rows, plain JSON lines; row counts by dataset.

    Nothing is written where the folder holds the same export already. A folder that was not finished is replaced.
    """
    wanted = {"emails": tenant.emails, "seed": tenant.seed, "month": month, "copies": copies, "until": str(until)}
    done = folder / "metadata" / "generated.json"
    if done.exists() and (known := json.loads(done.read_text()))["wanted"] == wanted:
        return dict(known["rows"])
    shutil.rmtree(folder, ignore_errors=True)
    traffic = Month(tenant, month, int(copies / COPIES_PER_EMAIL) + 1, until)
    rows = {}
    with open_engine(folder.parent / "spill") as engine:
        write = partial(_write_json, engine, folder)
        engine.register("users", _users(tenant))
        rows["User_v1"] = write("User_v1", "users", "export_users")
        rows["MailFolder_v0"] = write("MailFolder_v0", "folders", "export_folders")
        rows["Message_v1"] = 0
        for number, batch in enumerate(traffic.batches(BATCH)):
            if rows["Message_v1"] == copies:
                break
            engine.register("copies", batch.to_lake().slice(0, copies - rows["Message_v1"]))
            rows["Message_v1"] += write("Message_v1", f"{number:04d}", "export_messages")
        write("Message_v1", "summaries", "export_summaries")
        engine.register("copies", traffic.meetings())
        rows["CalendarView_v0"] = write("CalendarView_v0", "meetings", "export_meetings")
    make_folder(done.parent)
    done.write_text(json.dumps({"wanted": wanted, "rows": rows}))
    return rows


def _write_json(engine: duckdb.DuckDBPyConnection, folder: Path, dataset: str, name: str, model: str) -> int:
    target = make_folder(folder / dataset) / f"JsonDataset_{name}.json"
    statement = f"copy ({sql(MODELS, model)}) to $target (format json)"
    row = engine.execute(statement, {"target": str(target), "tenant": TENANT_ID}).fetchone()
    return int(row[0]) if row else 0


def _users(tenant: Tenant) -> pa.Table:
    import pyarrow as pa

    codes = pa.array(tenant.code_of[: tenant.users])
    return pa.table(
        {
            "mailbox": tenant.mailboxes,
            "address": tenant.addresses.take(codes),
            "display_name": tenant.names.take(codes),
        }
    )


def settings_of(data_dir: Path, as_of: datetime, **more: Any) -> Settings:
    """Settings of a generated data directory, whatever the environment says."""
    return Settings(data_dir=data_dir, source=SourceKind.DATA_CONNECT, as_of=as_of, internal_domains=[DOMAIN], **more)


def write_lake(
    settings: Settings, tenant: Tenant, months: int, report: Callable[[str], None] = lambda line: None
) -> EpochLayout:
    """A data directory with a consent, the directory and the last `months` whole months before `as_of` of emails and
    meetings, committed as a collection would. Months that are there already stay."""
    import pyarrow as pa

    now = settings.now()
    prepare(settings)
    ledger = ControlLedger(settings.layout)
    record = ledger.current() or ledger.provide(ADMINISTRATOR, now=datetime.now(UTC), history_until=now)[0]
    epoch = settings.layout.epoch(record.epoch)
    fence = partial(ledger.commit_fence, record.epoch, Purpose.COLLECT)
    users = _users(tenant)
    store_directory(epoch, directory_of(users, now), fence)
    for month in month_range(add_months(month_of(now), -months), add_months(month_of(now), -1)):
        traffic = Month(tenant, month, tenant.emails)
        if not (epoch.month("email", month) / "manifest.json").exists():
            _commit(epoch, record, fence, "email", month, EMAIL, (batch.to_lake() for batch in traffic.batches(BATCH)))
        if not (epoch.month("meetings", month) / "manifest.json").exists():
            _commit(epoch, record, fence, "meetings", month, MEETINGS, iter([traffic.meetings().cast(MEETINGS)]))
        report(f"generated {month}")
        pa.default_memory_pool().release_unused()
    return epoch


def replace_emails(settings: Settings, tenant: Tenant, month: str, emails: int) -> None:
    """Commit a month of a generated lake anew, with so many emails, as a second collection that finds other rows."""
    ledger = ControlLedger(settings.layout)
    record = ledger.require(Purpose.COLLECT)
    epoch = settings.layout.epoch(record.epoch)
    fence = partial(ledger.commit_fence, record.epoch, Purpose.COLLECT)
    batches = Month(tenant, month, emails).batches(BATCH)
    _commit(epoch, record, fence, "email", month, EMAIL, (batch.to_lake() for batch in batches))


def directory_of(users: pa.Table, read_at: datetime) -> Directory:
    """The directory of a generated company: every user a member with one address."""
    import pyarrow as pa

    size = users.num_rows
    columns: dict[str, Any] = {
        "user_id": users["mailbox"],
        "display_name": users["display_name"],
        "primary_address": users["address"],
        "user_principal_name": users["address"],
        "is_member": [True] * size,
        "account_enabled": [True] * size,
        "mailbox_kind": ["user"] * size,
        "opt_out_attribute": [None] * size,
        "is_gone": [False] * size,
    }
    return Directory(
        read_at=read_at,
        users=pa.table(columns, schema=USERS),
        addresses=pa.table([users["address"], users["mailbox"]], schema=USER_ADDRESSES),
        group_members=GROUP_MEMBERS.empty_table(),
        domains=pa.table([[DOMAIN]], schema=DOMAINS),
    )


def _commit(
    epoch: EpochLayout,
    record: ConsentRecord,
    fence: Any,
    table: str,
    month: str,
    schema: pa.Schema,
    tables: Iterator[pa.Table],
) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = make_folder(epoch.month(table, month))
    temp = temp_path(folder, ".parquet")
    clock = "received_at" if table == "email" else "start_at"
    rows = emails = 0
    first = last = None
    with pq.ParquetWriter(temp, schema, compression="zstd") as writer:
        for part in tables:
            writer.write_table(part.cast(schema), row_group_size=ROW_GROUP)
            rows += part.num_rows
            emails += pc.sum(pc.equal(part["copy_rank"], 1)).as_py() if table == "email" else 0
            span = pc.min_max(part[clock]).as_py()
            first = span["min"] if first is None else min(first, span["min"])
            last = span["max"] if last is None else max(last, span["max"])
    file = adopt_part(temp, table, rows)
    quality = {
        "copies_read": rows,
        "distinct_emails": emails,
        "duplicates": rows - emails,
        "dropped": {},
        "left_out_by_cap": 0,
        "left_out_copies": 0,
        "unresolved_addresses": 0,
        "clock_corrected": 0,
        "kept_earlier": 0,
        "mailboxes": {"expected": 0, "done": 0, "missing": 0, "refused": 0},
        "expected_copies": None,
        "walked_copies": None,
        "partial_reasons": [],
        "not_provided": [],
        "status": "complete",
    }
    commit_manifest(
        folder,
        epoch=record.epoch,
        table=table,
        month=month,
        files=[file],
        fence=fence,
        quality=quality,
        first_at=first,
        last_at=last,
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Generate a company's mail and meetings."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--copies", default=100_000, show_default=True, type=click.IntRange(100), help="Rows of Message_v1.")
@click.option("--month", default="2026-09", show_default=True)
@click.option("--seed", default=7, show_default=True)
def export(folder: Path, copies: int, month: str, seed: int) -> None:
    """Write one month as a Data Connect export folder."""
    rows = write_export(folder, Tenant(int(copies / COPIES_PER_EMAIL), seed), month, copies)
    click.echo(json.dumps(rows))


@main.command()
@click.argument("data_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--emails", default=100_000, show_default=True, type=click.IntRange(100), help="Distinct emails a month.")
@click.option("--months", default=12, show_default=True, type=click.IntRange(1, 12))
@click.option("--as-of", default="2026-11-01", show_default=True, type=click.DateTime(["%Y-%m-%d"]))
@click.option("--seed", default=7, show_default=True)
def lake(data_dir: Path, emails: int, months: int, as_of: datetime, seed: int) -> None:
    """Write months of the lake of a data directory, with a consent, as if they had been collected."""
    settings = settings_of(data_dir, as_of.replace(tzinfo=UTC))
    write_lake(settings, Tenant(emails, seed), months, partial(click.echo, err=True))


if __name__ == "__main__":
    main()
