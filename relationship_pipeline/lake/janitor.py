"""What killed processes left behind, removed at every start (reliability.md 5.2), and months that have become too old:
only names of our own patterns, and only where the lock of that work is free."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.months import add_months, month_of
from relationship_pipeline.durable import TEMP_PREFIX
from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.engine import SPILL_LOCK
from relationship_pipeline.lake.manifest import MANIFEST, read_manifest
from relationship_pipeline.lake.writer import sweep_folder
from relationship_pipeline.layout import EpochLayout, Layout

WORK_FILES = (
    ("publish", f"{TEMP_PREFIX}*-publish"),
    ("publish", f"{TEMP_PREFIX}*.html"),
    ("restore", f"{TEMP_PREFIX}*-restore"),
)
"""The work lock that guards them, and their names below an epoch's `tmp`."""

EXPORT_KEPT = timedelta(hours=24)
"""How long a file stays in `exports`: it was made for somebody who has it by then."""


def sweep(layout: Layout) -> int:
    """Remove temp files and parts that no manifest names, unfinished folders of the stage, spill of engines that are gone,
    work files of publications and restores that are gone, and exports that are a day old, in every epoch; returns how
    many files and folders went. Waits for nobody: what is in use stays."""
    if not layout.epochs.is_dir():
        return 0
    removed = 0
    for root in sorted(layout.epochs.iterdir()):
        if root.is_dir() and not root.name.startswith("."):
            epoch = layout.epoch(root.name)
            removed += _sweep_tables(layout, epoch) + _sweep_stage(epoch) + _sweep_spill(epoch)
            removed += _sweep_work(layout, epoch)
            removed += drop_old_exports(epoch, datetime.now(UTC))
    return removed


def drop_old_exports(epoch: EpochLayout, now: datetime) -> int:
    """Remove our copies of what was exported a day ago or longer (reliability.md 3.1); returns how many files went."""
    old = [
        path
        for path in epoch.exports.rglob("*")
        if path.is_file() and now.timestamp() - path.stat().st_mtime >= EXPORT_KEPT.total_seconds()
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def drop_old_months(layout: Layout, epoch: EpochLayout, as_of: datetime) -> int:
    """Remove the lake's months that left the 12-month window of `as_of` a month ago or longer (B1); returns how many
    folders went. A month that somebody works on stays until the next time."""
    oldest = add_months(month_of(as_of), -13)
    removed = 0
    for folder in sorted(epoch.lake.glob("*/month=*")):
        month = folder.name.partition("=")[2]
        if month >= oldest:
            continue
        with _if_free(layout.table_lock(folder.parent.name, month)) as free:
            if free:
                # the manifest first, so that nothing is named that is gone
                (folder / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _sweep_tables(layout: Layout, epoch: EpochLayout) -> int:
    removed = 0
    for folder in sorted(epoch.lake.glob("*/month=*")) + sorted(epoch.lake.glob("*/current")):
        month = folder.name.partition("=")[2] or None
        with _if_free(layout.table_lock(folder.parent.name, month)) as free, suppress(BadLake):
            if free:
                removed += sweep_folder(folder, read_manifest(folder))
    return removed


def _sweep_stage(epoch: EpochLayout) -> int:
    """Unfinished splits: `<stage>/<source>/.tmp-<key>`, guarded by `<stage>/<source>/<key>.lock`."""
    removed = 0
    for folder in sorted(epoch.stage.glob(f"*/{TEMP_PREFIX}*")):
        key = folder.name.removeprefix(TEMP_PREFIX)
        with _if_free(folder.with_name(f"{key}.lock")) as free:
            if free and folder.is_dir():
                shutil.rmtree(folder)
                removed += 1
    return removed


def _sweep_work(layout: Layout, epoch: EpochLayout) -> int:
    """What publications, pages and opened backups were made in: copies of everything, people since erased among it."""
    removed = 0
    for lock, pattern in WORK_FILES:
        with _if_free(layout.work_lock(lock)) as free:
            for path in sorted(epoch.tmp.glob(pattern)) if free else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def _sweep_spill(epoch: EpochLayout) -> int:
    removed = 0
    for folder in sorted(epoch.spill.glob(f"{TEMP_PREFIX}*")):
        if folder.is_dir():
            with _if_free(folder / SPILL_LOCK) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
    return removed


@contextmanager
def _if_free(lock: Path) -> Iterator[bool]:
    """Hold the lock, or say that somebody else does."""
    try:
        with locked(lock, wait=False):
            yield True
    except BlockingIOError:
        yield False
