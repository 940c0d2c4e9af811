"""Preflight (C7): each line says pass, fail or cannot tell, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose, refusal
from relationship_pipeline.errors import BadInput, PipelineError
from relationship_pipeline.lake.engine import default_memory_limit, open_engine
from relationship_pipeline.settings import Settings, SourceKind

NEEDED_FREE = 5 * 2**30
"""Three times the export of a mid-sized month; less than this and a month may not fit."""

OPTIONAL_DATASETS = {
    "CalendarView_v0 or Event_v1": ("calendarview", "event"),
    "GroupMembers_v0": ("groupmembers",),
    "MailFolder_v0": ("mailfolder",),
}
"""Of a Data Connect export (interfaces.md 2)."""


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Finding:
    """One line of the preflight; `advice` says what was seen, or what to do."""

    check: str
    verdict: Verdict
    advice: str


def examine(settings: Settings) -> list[Finding]:
    """All checks that apply to this machine and source. Reads no mailbox and changes nothing."""
    return [*_machine(settings), *_consent(settings), *_source(settings)]


def _machine(settings: Settings) -> Iterator[Finding]:
    import duckdb

    existing = next(path for path in (settings.layout.root, *settings.layout.root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    enough = Verdict.PASS if free >= NEEDED_FREE else Verdict.FAIL
    yield Finding(
        "disk", enough, f"{free / 2**30:.0f} GiB free below the data directory; a backfill wants 5 GiB or more"
    )
    limit = settings.memory_limit or default_memory_limit()
    try:
        with open_engine(existing, memory_limit=limit, threads=settings.threads) as engine:
            engine.execute("select 1").fetchone()
        yield Finding("duckdb", Verdict.PASS, f"DuckDB {duckdb.__version__}, memory limit {limit}")
    except duckdb.Error as error:
        yield Finding("duckdb", Verdict.FAIL, f"DuckDB does not start: {type(error).__name__}; check memory_limit")
    wide = existing == settings.layout.root and existing.stat().st_mode & 0o077
    yield Finding(
        "file modes",
        Verdict.FAIL if wide else Verdict.PASS,
        "the data directory is open to others; the next command tightens it" if wide else "ours alone",
    )
    foreign = _foreign(settings.layout.root)
    yield Finding(
        "data directory",
        Verdict.FAIL if foreign else Verdict.PASS,
        f"{foreign} files or folders in it are not the pipeline's: a deletion would wait for them; move them out, or set "
        "RELATIONSHIP_DATA_DIR to a folder of its own"
        if foreign
        else "nothing in it but the pipeline's own",
    )


def _foreign(root: Path) -> int:
    """How many names directly in the data directory are in no store of the registry (erasure/data_map.py)."""
    from relationship_pipeline.erasure.data_map import STORES

    ours = {Path(store.pattern).parts[0] for store in STORES}
    return sum(path.name not in ours for path in root.iterdir()) if root.is_dir() else 0


def _consent(settings: Settings) -> Iterator[Finding]:
    try:
        record = ControlLedger(settings.layout).current()
    except PipelineError as error:
        yield Finding("consent", Verdict.FAIL, str(error))
        return
    why = refusal(record, Purpose.COLLECT)
    if why is not None or record is None:
        yield Finding("consent", Verdict.FAIL, why or "none")
        return
    yield Finding("consent", Verdict.PASS, f"{record.state}, level {record.level}, from {record.first_month}")
    if record.verified:
        yield Finding("administrator's role", Verdict.PASS, f"{record.admin_role}, confirmed by the directory")
    else:
        yield Finding(
            "administrator's role",
            Verdict.CANNOT_TELL,
            "recorded as stated; to confirm it grant RoleManagement.Read.Directory and give the consent again"
            if settings.source is SourceKind.GRAPH
            else "recorded as stated; a folder of files cannot confirm it",
        )


def _source(settings: Settings) -> Iterator[Finding]:
    if settings.source is SourceKind.DATA_CONNECT:
        yield from _export_folder(settings.data_connect_folder)
        yield Finding("licences", Verdict.CANNOT_TELL, "a folder of files does not name them; needs source graph")
    elif settings.source is SourceKind.GRAPH:
        from relationship_pipeline.sources.graph.doctor import examine_tenant

        for check, verdict, advice in examine_tenant(settings.graph):
            yield Finding(check, Verdict(verdict), advice)
    else:
        yield Finding("source", Verdict.PASS, "demo: a simulated tenant, started when it is needed")


def _export_folder(folder: Path) -> Iterator[Finding]:
    from relationship_pipeline.sources.data_connect.files import find_datasets, written_at

    try:
        datasets = find_datasets(folder)
    except BadInput as error:
        yield Finding("export folder", Verdict.FAIL, str(error))
        return
    until = written_at(datasets)
    yield Finding("export folder", Verdict.PASS, f"holds the users and mail up to {until:%Y-%m-%d %H:%M} UTC")
    found = {name for name, files in datasets.items() if files}
    for title, names in OPTIONAL_DATASETS.items():
        if found.isdisjoint(names):
            yield Finding(title, Verdict.CANNOT_TELL, "not in the export: what it would tell is not known")
