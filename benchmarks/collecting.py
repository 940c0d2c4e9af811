"""P2: from export files to a month of the lake."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.context import Context
from benchmarks.generate import COPIES_PER_EMAIL, settings_of, write_export
from benchmarks.measure import BenchmarkError, Measurement, interleaved, median, run
from benchmarks.result import Peer, Result
from benchmarks.tenant import DOMAIN, Tenant
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import prepare

MONTH = "2026-09"
AS_OF = datetime(2026, 10, 1, tzinfo=UTC)


def data_connect_import(context: Context) -> Result:
    """P2: one month of an export folder, JSON lines to a committed lake partition."""
    copies = context.count(8_000_000)
    export = context.folder / f"export-{copies}-{context.seed}"
    write_export(export, Tenant(int(copies / COPIES_PER_EMAIL), context.seed), MONTH, copies)
    data_dir = context.folder / "p2"
    measured = interleaved(
        context.repeats(copies),
        {
            "ours": lambda: _collect(data_dir, export, copies),
            "DuckDB, bare read_json": lambda: run(["-m", "benchmarks.peers", "duckdb_read_json", str(export)]),
            "DuckDB, read_json into a table": lambda: run(["-m", "benchmarks.peers", "duckdb_load_json", str(export)]),
        },
    )
    ours, *others = (median(runs) for runs in measured.values())
    limits = (3.0, None)
    notes = ("every column of the same files read and thrown away; ratio of CPU seconds", "for information")
    quality = ours.answer
    return Result(
        id="P2",
        title="Data Connect import of one month",
        figure=copies / ours.seconds,
        unit="copies/s",
        target="at least 200,000 copies/s",
        limit=200_000,
        at_least=True,
        cost=ours,
        messages=copies,
        peers={
            name: Peer(copies / other.seconds, ours.cpu_seconds / other.cpu_seconds, limit, note)
            for name, other, limit, note in zip(list(measured)[1:], others, limits, notes, strict=True)
        },
        details={
            "distinct_emails": quality["distinct_emails"],
            "export_bytes": sum(path.stat().st_size for path in (export / "Message_v1").iterdir()),
            "cpu_seconds_per_million": round(ours.cpu_seconds / copies * 1e6, 2),
        },
    )


def _collect(data_dir: Path, export: Path, copies: int) -> Measurement:
    """One import into an empty data directory, which is removed afterwards."""
    settings = consented(data_dir)
    try:
        measurement = run(
            ["-m", "benchmarks.work", "collect", MONTH], settings={**settings, DATA_CONNECT_DIR: str(export)}
        )
    finally:
        shutil.rmtree(data_dir)
    if measurement.answer["copies_read"] != copies:
        raise BenchmarkError(f"the import read {measurement.answer['copies_read']} of {copies} copies")
    return measurement


DATA_CONNECT_DIR = "RELATIONSHIP_DATA_CONNECT_DIR"


def consented(data_dir: Path, as_of: datetime = AS_OF) -> dict[str, str]:
    """An empty data directory with a consent; the settings that a process needs to work in it."""
    shutil.rmtree(data_dir, ignore_errors=True)
    prepare(settings_of(data_dir, as_of))
    ledger = ControlLedger(settings_of(data_dir, as_of).layout)
    ledger.provide(f"admin@{DOMAIN}", now=datetime.now(UTC), history_until=as_of)
    return environment_of(data_dir, as_of)


def environment_of(data_dir: Path, as_of: datetime) -> dict[str, str]:
    return {
        "RELATIONSHIP_DATA_DIR": str(data_dir),
        "RELATIONSHIP_SOURCE": "data_connect",
        "RELATIONSHIP_INTERNAL_DOMAINS": DOMAIN,
        "RELATIONSHIP_AS_OF": as_of.isoformat(),
    }
