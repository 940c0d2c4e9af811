"""The monthly table `lake/interactions/month=M`: when it is stale, and its commit.

A month is derived again only when something that its rows are made of has changed: its emails and meetings, what it uses
of its neighbours, who its addresses are taken for, or the models. So months may be collected in any order, and a change
in one month touches that month and, if it uses what changed, its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.domain.months import add_months, month_end, month_start
from relationship_pipeline.domain.ties import DEFAULT_CONSTANTS
from relationship_pipeline.durable import make_folder
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.identification import Identification
from relationship_pipeline.insights.month import (
    MODELS,
    TAIL,
    MonthFiles,
    UsedOfNeighbours,
    attach_emails,
    bound,
    derive,
    join_neighbours,
)
from relationship_pipeline.insights.workbench import Workbench, models_digest
from relationship_pipeline.lake.manifest import DataFile, Manifest, read_manifest
from relationship_pipeline.lake.reader import standing_table, verify_files
from relationship_pipeline.lake.writer import commit_manifest, write_part
from relationship_pipeline.layout import EpochLayout

TABLE = "interactions"


@dataclass(frozen=True)
class LakeMonth:
    """The manifests that a month's interactions are derived from; None where nothing was collected."""

    month: str
    emails: Manifest | None
    emails_before: Manifest | None
    emails_after: Manifest | None
    meetings: Manifest | None
    files: MonthFiles

    @property
    def exists(self) -> bool:
        return self.emails is not None or self.meetings is not None

    def verify(self, layout: EpochLayout) -> None:
        """Check the hashes of all files that deriving reads. Raises BadLake."""
        read = (
            (layout.month("email", add_months(self.month, -1)), self.emails_before),
            (layout.month("email", self.month), self.emails),
            (layout.month("email", add_months(self.month, 1)), self.emails_after),
            (layout.month("meetings", self.month), self.meetings),
        )
        with ThreadPoolExecutor() as threads:
            checks = [threads.submit(verify_files, folder, table) for folder, table in read if table is not None]
        for check in checks:
            check.result()

    def inputs(self, who: Identification) -> dict[str, str]:
        return {
            "models": model_version(),
            "email": content_id(self.emails),
            "email_before": content_id(self.emails_before),
            "email_after": content_id(self.emails_after),
            "meetings": content_id(self.meetings),
            "absences": who.absences_between(month_start(self.month) - TAIL, month_end(self.month)),
            "identities": who.digest,
        }


def model_version() -> str:
    """Of models and of what hashes within them, which must be the same in all months of a window."""
    import duckdb

    return f"{models_digest(MODELS)}, ties {DEFAULT_CONSTANTS.version}, duckdb {duckdb.__version__}"


def content_id(manifest: Manifest | None) -> str:
    return "none" if manifest is None else manifest.content_id


def lake_month(context: BuildContext, month: str) -> LakeMonth:
    """The month's lake files and its neighbours', hashes not checked: a month that stands reads none of them. Raises
    BadLake."""
    layout = context.layout

    def opened(table: str, name: str) -> tuple[Manifest | None, tuple[Path, ...]]:
        folder = layout.month(table, name)
        manifest = read_manifest(folder)
        return manifest, () if manifest is None else tuple(manifest.paths(folder))

    emails, email_paths = opened("email", month)
    before, before_paths = opened("email", add_months(month, -1))
    after, after_paths = opened("email", add_months(month, 1))
    meetings, meeting_paths = opened("meetings", month)
    files = MonthFiles(month, email_paths, before_paths, after_paths, meeting_paths)
    return LakeMonth(month, emails, before, after, meetings, files)


def refresh_month(context: BuildContext, month: str, who: Identification) -> Manifest | None:
    """The month's interactions, derived again if stale; None (and no rows) where nothing was collected.

    Raises BadLake, ConsentRefused.
    """
    with context.lock(f"{TABLE}-{month}"):
        return _refresh(context, month, who)


def _refresh(context: BuildContext, month: str, who: Identification) -> Manifest | None:
    lake = lake_month(context, month)
    folder = context.layout.month(TABLE, month)
    if not lake.exists:
        return None
    stored = standing_table(folder)
    inputs = lake.inputs(who)
    if stored is not None and _known(stored.inputs) == inputs:
        return stored
    files, used = _standing(context, lake, stored, folder, inputs, who)
    if used is None:
        context.progress(f"{month}: deriving interactions")
        files, used = derive_files(context, lake, who, month_start(month), month_end(month), folder)
    return commit_manifest(
        folder,
        epoch=context.layout.epoch,
        table=TABLE,
        month=month,
        files=files,
        fence=context.fence,
        inputs={**inputs, "before_used": used.before, "after_used": used.after},
        quality={"settled_emails": used.settled_emails, "settled_copies": used.settled_copies},
    )


def derive_files(
    context: BuildContext,
    lake: LakeMonth,
    who: Identification,
    lo: datetime,
    hi: datetime,
    folder: Path,
    *,
    emails: bool = True,
) -> tuple[tuple[DataFile, ...], UsedOfNeighbours]:
    """Derive [lo, hi) of a month, or of its meetings alone, into parts of a folder, not yet named by any manifest."""
    parts: list[DataFile] = []
    make_folder(folder)

    def write(bench: Workbench, kind: str, model: str, parameters: Mapping[str, Any]) -> None:
        parts.append(write_part(folder, kind, lambda path: bench.write(model, path, **parameters)))

    lake.verify(context.layout)
    with context.engine() as engine:
        used = derive(engine, lake.files, who, lo, hi, write, emails=emails)
    return tuple(parts), used


def _known(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in inputs.items() if name not in ("before_used", "after_used")}


def _standing(
    context: BuildContext,
    lake: LakeMonth,
    stored: Manifest | None,
    folder: Path,
    inputs: Mapping[str, str],
    who: Identification,
) -> tuple[tuple[DataFile, ...], UsedOfNeighbours | None]:
    """The stored files if their rows stand although a neighbour, the directory or the CRM has changed, and what they use
    of the neighbours now; None where they do not stand."""
    own = ("models", "email", "meetings", "absences")
    if stored is None or any(stored.inputs.get(name) != inputs[name] for name in own):
        return (), None
    used = _used_before(stored)
    if any(stored.inputs.get(name) != inputs[name] for name in ("email_before", "email_after")):
        now = _used_now(context, lake)
        if (used.before, used.after) != (now.before, now.after):
            return (), None
        used = now
    kinds = ("email_identities", "meeting_identities")
    same = all(_same_identities(context, stored.paths(folder, kind), who) for kind in kinds)
    if same and _same_owners(context, stored.paths(folder, "email_owners"), who):
        return stored.files, used
    return (), None


def _used_before(stored: Manifest) -> UsedOfNeighbours:
    quality = stored.quality
    return UsedOfNeighbours(
        stored.inputs.get("before_used", ""),
        stored.inputs.get("after_used", ""),
        quality.get("settled_emails", 0),
        quality.get("settled_copies", 0),
    )


def _used_now(context: BuildContext, lake: LakeMonth) -> UsedOfNeighbours:
    """Reads three months of the lake: only for a month whose neighbours were collected again."""
    lake.verify(context.layout)
    with context.engine() as engine:
        start = month_start(lake.month)
        bound(engine, start, month_end(lake.month))
        bench = Workbench(engine, MODELS)
        attach_emails(bench, lake.files)
        return join_neighbours(bench, lake.month, start)


def _same_identities(context: BuildContext, paths: list[Path], who: Identification) -> bool:
    """Whether the month's addresses would be taken for the same people and accounts as when it was derived."""
    if not paths:
        return True
    with _stored_rows(context, paths) as bench:
        bench.engine.sql("select address from stored").create("month_addresses")
        who.identify(bench)
        return _holds_all_stored(bench, "identities")


def _same_owners(context: BuildContext, paths: list[Path], who: Identification) -> bool:
    """Whether of the owners of the month's mailboxes the same are in scope as when it was derived."""
    if not paths:
        return True
    with _stored_rows(context, paths) as bench:
        bench.engine.sql("select mailbox from stored").create("owners")
        bench.register("people", who.people)
        bench.table("email_owners")
        return _holds_all_stored(bench, "email_owners")


@contextmanager
def _stored_rows(context: BuildContext, paths: list[Path]) -> Iterator[Workbench]:
    """A workbench with a month's files of one kind as the view `stored`."""
    with context.engine() as engine:
        engine.read_parquet([str(path) for path in paths]).create_view("stored")
        yield Workbench(engine, MODELS)


def _holds_all_stored(bench: Workbench, table: str) -> bool:
    missing = bench.engine.execute(
        "select count(*) from (select * from stored except all select * from query_table($table))", {"table": table}
    )
    return missing.fetchall() == [(0,)]
