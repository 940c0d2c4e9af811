"""Publishing: one database a role, built whole in a process that reads only allowed rows, swapped by rename.

Readers are never blocked and never see half a database: who has one open keeps its version (dagster.md 3.2). Nothing
older is kept. What may be shown is decided in roles.py (tables) and allowed.py (rows).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.durable import TEMP_PREFIX, fsync_folder, make_folder, temp_path
from relationship_pipeline.errors import BadInput, BadLake, PipelineError
from relationship_pipeline.lake.engine import default_memory_limit
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.lake.writer import CommitFence
from relationship_pipeline.layout import EpochLayout, Layout
from relationship_pipeline.publishing.access import give_file, group_ids, open_path
from relationship_pipeline.publishing.allowed import Allowed, allowed_files, hidden_records
from relationship_pipeline.publishing.build import EXIT_DISK_FULL, BuildOrder
from relationship_pipeline.publishing.connection import database_path, report_path
from relationship_pipeline.publishing.roles import Role, list_roles
from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline.settings import PREFIX, Settings

PUBLISH_LOCK = "publish"
"""Work lock: one publisher at a time; others wait."""

WORK_SUFFIX = "-publish"

SWAP_LOCK = "published_files"
"""Work lock, held for the instant in which files appear or go, so that a revoked grant cannot be published after."""


def publish(
    layout: Layout,
    epoch: str,
    as_of: datetime,
    settings: Settings,
    fence: CommitFence,
    allowed: Allowed,
    *,
    only: str | None = None,
    compression: str | None = None,
) -> dict[str, dict[str, int]]:
    """Build and swap in the database of every role with a grant (or of one), remove those of roles without.

    Reads the built tables `insights/<table>` of the epoch, all of which must be for `as_of`. Returns rows by role and
    table. Raises ConsentRefused (from the fence), BadLake when a built table is missing, damaged or for another
    instant, BadInput for a group that does not exist, PipelineError when a build fails; what was published before then
    stands.
    `compression` forces DuckDB's compression, for tests that look at bytes.
    """
    tree = layout.epoch(epoch)
    groups = group_ids(settings.publish.group)
    with locked(layout.work_lock(PUBLISH_LOCK)), _swept(tree.tmp) as tmp:
        files = _readable_files(tree, as_of, allowed, tmp)
        roles = [role for role in list_roles(ControlLedger(layout)) if only in (None, role.name)]
        counts: dict[str, dict[str, int]] = {}
        built: dict[tuple[str, ...], Path] = {}
        for role in roles:
            if not role.grants:
                unpublish(layout, role.name, epoch)
                continue
            if role.grants not in built:
                built[role.grants] = temp_path(tmp, ".duckdb")
                order = BuildOrder(
                    target=str(built[role.grants]),
                    tables={table: [str(file) for file in files[table]] for table in role.tables},
                    spill=str(make_folder(tree.spill)),
                    memory_limit=settings.memory_limit or default_memory_limit(),
                    threads=settings.threads or os.cpu_count() or 1,
                    compression=compression,
                )
                rows = run_build(order)
            counts[role.name] = rows
            copy = _copy(built[role.grants], tmp)
            swap_in(layout, role, copy, database_path(tree.published, role.name), groups.get(role.name), fence)
        with fence():
            open_path(layout, tree, groups.values())
            point_to(layout, tree)
    return counts


def run_build(order: BuildOrder) -> dict[str, int]:
    """Run build.py in a fresh process; returns rows by table. Raises PipelineError without any value of a row in it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with subprocess.Popen(
        [sys.executable, "-m", "relationship_pipeline.publishing.build"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        try:
            # stdin stays open while the build runs: its end tells the build that this process is gone.
            process.stdin.write(msgspec.json.encode(order) + b"\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            said = process.stdout.read()  # type: ignore[union-attr]
            error = process.stderr.read()  # type: ignore[union-attr]
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    if status == EXIT_DISK_FULL:
        raise PipelineError("publishing stopped: the disk is full; make room and run it again")
    if status != 0:
        reason = error.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {status}"]
        raise PipelineError(f"publishing failed while building a database ({reason[0].split(':')[0]}); run it again")
    return msgspec.json.decode(said, type=dict[str, int])


def swap_in(layout: Layout, role: Role, temp: Path, target: Path, group: int | None, fence: CommitFence) -> bool:
    """Put a finished file of a role in its place, durably, if consent and the role's grants still stand; False where
    the grants changed meanwhile (whoever changed them publishes again)."""
    give_file(temp, group)
    descriptor = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with locked(layout.work_lock(SWAP_LOCK)), fence():
        if role not in list_roles(ControlLedger(layout)):
            temp.unlink()
            return False
        temp.replace(target)
        fsync_folder(target.parent)
    return True


def unpublish(layout: Layout, role: str, epoch: str) -> None:
    """Remove a role's published files at once; what a reader has open stays readable to that reader only."""
    folder = layout.epoch(epoch).published
    with locked(layout.work_lock(SWAP_LOCK)):
        for path in (database_path(folder, role), report_path(folder, role)):
            path.unlink(missing_ok=True)
        if folder.exists():
            fsync_folder(folder)


def point_to(layout: Layout, tree: EpochLayout) -> None:
    """Make the top-level `published` a link to this epoch's, in one rename. Raises BadInput when something else is
    there."""
    link, target = layout.published, tree.published.relative_to(layout.root)
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() and not link.is_symlink():
        raise BadInput("`published` in the data directory is not the pipeline's link; move it away")
    temp = temp_path(layout.root)
    temp.symlink_to(target)
    temp.replace(link)
    fsync_folder(layout.root)


def _readable_files(tree: EpochLayout, as_of: datetime, allowed: Allowed, tmp: Path) -> dict[str, list[Path]]:
    """The verified files of every built table, without the rows that may not be shown."""
    committed: dict[str, list[Path]] = {}
    for table in PUBLISHED:
        manifest = open_table(tree.insight(table))
        if manifest is None:
            raise BadLake(f"table {table} has not been built; `relationship-pipeline backfill` builds the insights")
        committed[table] = manifest.paths(tree.insight(table))
        for file in committed[table]:
            _require_instant(table, file, as_of)
    records = hidden_records(committed, allowed)
    return {table: allowed_files(table, files, allowed, records, tmp) for table, files in committed.items()}


def _require_instant(table: str, file: Path, as_of: datetime) -> None:
    """Tables of different instants are never published together. Reads the file's column statistics only."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    column = metadata.schema.names.index("as_of")
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(column).statistics
        if statistics is not None and statistics.has_min_max and not statistics.min == statistics.max == as_of:
            raise BadLake(
                f"table {table} was built for another instant than the one to publish; run the job `build_insights` "
                "or `relationship-pipeline refresh`"
            )


def _copy(built: Path, tmp: Path) -> Path:
    """A copy for one role: roles with the same grants share a build, not a file, for each has a mode and group."""
    copy = temp_path(tmp, ".duckdb")
    copy.touch(mode=0o600, exist_ok=False)
    shutil.copyfile(built, copy)
    return copy


@contextmanager
def _swept(tmp: Path) -> Iterator[Path]:
    """A fresh folder for this publication's work files, gone afterwards. The caller holds the publish lock, so what an
    earlier, killed publication left is nobody's any more."""
    for left in make_folder(tmp).glob(f"{TEMP_PREFIX}*{WORK_SUFFIX}"):
        shutil.rmtree(left)
    folder = make_folder(temp_path(tmp, WORK_SUFFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
