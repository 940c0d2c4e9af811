"""The window of an `as_of` (N5): which files hold what it sees of each month, whole months or exact parts of the edges."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from relationship_pipeline.domain.months import (
    month_end,
    month_of,
    month_range,
    month_start,
    one_year_before,
    planned_until,
    window_months,
)
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.crm_people import CrmPeople
from relationship_pipeline.insights.identification import Identification, identification
from relationship_pipeline.insights.interactions import (
    LakeMonth,
    content_id,
    derive_files,
    lake_month,
    refresh_month,
)
from relationship_pipeline.lake.manifest import Manifest
from relationship_pipeline.lake.reader import open_table, standing_table
from relationship_pipeline.lake.writer import commit_manifest

_EMAIL_KINDS = frozenset(
    {
        "email_identities", "email_days", "email_records", "email_pairs", "shared_days", "stray_days",
        "conversations", "replies", "border_replies", "last_questions", "crm_emails",
    }
)  # fmt: skip
_MEETING_KINDS = frozenset({"meeting_identities", "meeting_days", "meeting_records", "meeting_pairs", "crm_meetings"})
KINDS = _EMAIL_KINDS | _MEETING_KINDS


@dataclass(frozen=True)
class Window:
    """What an `as_of` sees. `files`: stored kinds of interactions to their Parquet files. `lake`: its months that were
    collected. `interactions`: their manifests. `missing`: months of the window that were not collected. `planned`: files
    of meetings that may start after `as_of`."""

    since: datetime
    as_of: datetime
    who: Identification
    crm: CrmPeople
    lake: tuple[LakeMonth, ...]
    interactions: tuple[Manifest, ...]
    missing: tuple[str, ...]
    files: dict[str, tuple[Path, ...]]
    planned: tuple[Path, ...]
    inputs: dict[str, str]

    @property
    def is_partial(self) -> bool:
        """B2: whether a month of the window is missing or incomplete, of emails or of meetings."""
        return bool(self.missing) or any(
            table is None or table.quality.get("status") == "partial"
            for month in self.lake
            for table in (month.emails, month.meetings)
        )

    @property
    def updated_at(self) -> datetime:
        """When the newest month of the window was read."""
        manifests = [manifest for month in self.lake for manifest in (month.emails, month.meetings) if manifest]
        return max((manifest.shows_until for manifest in manifests), default=self.as_of)


def open_window(context: BuildContext, as_of: datetime) -> Window:
    """The window of an `as_of`, its stale months derived again and its edges exact. Raises BadLake, ConsentRefused."""
    as_of = as_of.astimezone(UTC)
    since = one_year_before(as_of)
    who, crm = identification(context)
    files: dict[str, list[Path]] = {kind: [] for kind in sorted(KINDS)}
    lake, manifests, missing = [], [], []
    inputs = {"as_of": as_of.isoformat(), "identities": who.digest}
    for month in window_months(as_of):
        stored = refresh_month(context, month, who)
        if stored is None:
            missing.append(month)
            continue
        manifests.append(stored)
        lake.append(lake_month(context, month))
        inputs[f"interactions {month}"] = stored.content_id
        inputs[f"quality {month}"] = _quality_id(lake[-1])
        for kind, paths in _seen_of(context, lake[-1], stored, who, since, as_of).items():
            files[kind].extend(paths)
    planned, planned_inputs = _planned_files(context, as_of)
    return Window(
        since=since,
        as_of=as_of,
        who=who,
        crm=crm,
        lake=tuple(lake),
        interactions=tuple(manifests),
        missing=tuple(missing),
        files={kind: tuple(paths) for kind, paths in files.items()},
        planned=planned,
        inputs=inputs | planned_inputs,
    )


def _seen_of(
    context: BuildContext, lake: LakeMonth, stored: Manifest, who: Identification, since: datetime, as_of: datetime
) -> dict[str, list[Path]]:
    """Files of a month by kind: the stored ones where all they count lies in the window, else of the part that does."""
    lo, hi = max(month_start(lake.month), since), min(month_end(lake.month), as_of)
    cut: frozenset[str] = frozenset()
    if _crosses(lake.emails, lo, hi):
        cut = KINDS
    elif _crosses(lake.meetings, lo, hi):
        cut = _MEETING_KINDS
    folder = context.layout.month("interactions", lake.month)
    found = {kind: stored.paths(folder, kind) for kind in KINDS - cut}
    if cut:
        edge_folder, edge = _edge(context, lake, stored, who, lo, hi, cut)
        found |= {kind: edge.paths(edge_folder, kind) for kind in cut}
    return found


def _quality_id(month: LakeMonth) -> str:
    """Changes with what is told of the month's reading, though its rows may be the same (B2, B9)."""
    told = [None if table is None else table.quality for table in (month.emails, month.meetings)]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:16]


def _crosses(manifest: Manifest | None, lo: datetime, hi: datetime) -> bool:
    if manifest is None or manifest.rows == 0:
        return False
    if manifest.first_at is None or manifest.last_at is None:
        return True
    return manifest.first_at < lo or manifest.last_at >= hi


def _edge(
    context: BuildContext,
    lake: LakeMonth,
    stored: Manifest,
    who: Identification,
    lo: datetime,
    hi: datetime,
    cut: frozenset[str],
) -> tuple[Path, Manifest]:
    folder = context.layout.insight("window_first" if lo > month_start(lake.month) else "window_last")
    inputs = {
        **stored.inputs,
        "month": lake.month,
        "from": lo.isoformat(),
        "to": hi.isoformat(),
        "emails": str(cut >= _EMAIL_KINDS),
    }
    standing = standing_table(folder)
    if standing is not None and standing.inputs == inputs:
        return folder, standing
    context.progress(f"{lake.month}: deriving the part that lies in the window")
    parts, _ = derive_files(context, lake, who, lo, hi, folder, emails=cut >= _EMAIL_KINDS)
    return folder, commit_manifest(
        folder,
        epoch=context.layout.epoch,
        table=folder.name,
        month=None,
        files=parts,
        fence=context.fence,
        inputs=inputs,
    )


def _planned_files(context: BuildContext, as_of: datetime) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Files of meetings that may start after `as_of` (B4), and the content of each folder of them."""
    months = month_range(month_of(as_of), month_of(planned_until(as_of) - timedelta(microseconds=1)))
    folders = [context.layout.month("meetings", month) for month in months]
    paths: list[Path] = []
    inputs = {}
    for folder in [*folders, context.layout.table("planned_meetings")]:
        manifest = open_table(folder)
        if manifest is not None:
            paths.extend(manifest.paths(folder))
        inputs[f"{folder.parent.name}/{folder.name}"] = content_id(manifest)
    return tuple(paths), inputs
