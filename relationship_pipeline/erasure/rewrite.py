"""Taking people out of the lake by writing its months anew without them (W5, reliability.md 3.6).

SQL deletes erase nothing (reliability.md 1.1), so files are replaced and the old ones unlinked; in a fresh process,
because a process that handled the rows can leave them in the slack of what it writes (1.10):

    python -m relationship_pipeline.erasure.rewrite < request.json > counts.json

Addresses travel by the pipe, never on the command line.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.months import add_months
from relationship_pipeline.durable import make_folder
from relationship_pipeline.errors import BadLake, PipelineError
from relationship_pipeline.lake.engine import copy_to_parquet, open_engine, sql, storage_errors
from relationship_pipeline.lake.manifest import LEFT_OUT, MANIFEST, DataFile
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.lake.writer import CommitFence, commit_manifest, write_part
from relationship_pipeline.layout import EpochLayout, Layout

if TYPE_CHECKING:
    import duckdb

    from relationship_pipeline.settings import Settings

MODELS = "relationship_pipeline.erasure.models"
LAKE_MODELS = "relationship_pipeline.lake.models"
EMAIL, MEETINGS, PLANNED, INTERACTIONS = "email", "meetings", "planned_meetings", "interactions"
Lock = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Without:
    """Who is taken out: copies of these mailboxes go, and these addresses go from everybody's copies."""

    mailboxes: frozenset[str]
    addresses: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.mailboxes or self.addresses)

    @property
    def values(self) -> dict[str, list[str]]:
        return {"mailboxes": sorted(self.mailboxes), "addresses": sorted(self.addresses)}


def rewrite_in_fresh_process(settings: Settings, epoch: str, without: Without) -> dict[str, int]:
    """Run `rewrite_lake` on the epoch in a process of its own; counts of folders and rows. Raises PipelineError with the
    one line that process ended with."""
    request = {
        "data_dir": str(settings.layout.root),
        "epoch": epoch,
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        **without.values,
    }
    done = subprocess.run(
        [sys.executable, "-m", "relationship_pipeline.erasure.rewrite"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        line = done.stderr.strip().rpartition("\n")[2] if done.returncode == 1 else "it ended unexpectedly"
        raise PipelineError(f"the months could not be rewritten: {line}")
    return json.loads(done.stdout)


def rewrite_lake(
    tree: EpochLayout,
    epoch: str,
    without: Without,
    *,
    fence: CommitFence,
    lock: Lock,
    spill: Path,
    memory_limit: str | None = None,
    threads: int | None = None,
) -> dict[str, int]:
    """Replace every folder of emails and meetings that holds anything of these people, drop what was derived from it and
    what was staged; counts `folders`, `rows_removed`. `epoch` is the tree's id (a restored tree has another name).

    After it each month is what a fresh collection would be that never saw them (a month cut by the cap excepted);
    insights and published databases are the caller's to build anew. The rows of a damaged folder all go; it has to be
    collected again. Raises ConsentRefused.
    """
    counts = {"folders": 0, "rows_removed": 0}
    touched: set[str] = set()
    with open_engine(spill, memory_limit=memory_limit, threads=threads) as engine:
        engine.execute(sql(LAKE_MODELS, "functions"))
        for table, folder in _folders(tree):
            month = folder.name.removeprefix("month=") if folder.name.startswith("month=") else None
            with lock(f"{table}-{month}" if month else table), storage_errors(f"rewriting {table}"):
                try:
                    removed = _rewrite_folder(engine, folder, table, month, epoch, without, fence)
                except BadLake:
                    # What cannot be read cannot be shown to be without them. The manifest stays, so that whoever collects
                    # the folder anew says what was lost.
                    removed = 0
                    _drop_parts(folder)
            if removed is not None:
                counts["folders"] += 1
                counts["rows_removed"] += removed
                if month:
                    touched |= {add_months(month, -1), month, add_months(month, 1)}
    for month in sorted(touched):
        with lock(f"{INTERACTIONS}-{month}"):
            _drop_folder(tree.month(INTERACTIONS, month))
    for folder in (tree.stage, tree.exports):
        _drop_below(folder)
    return counts


def _folders(tree: EpochLayout) -> list[tuple[str, Path]]:
    monthly = [
        (table, path.parent)
        for table in (EMAIL, MEETINGS)
        for path in sorted((tree.lake / table).glob(f"month=*/{MANIFEST}"))
    ]
    planned = tree.table(PLANNED)
    return [*monthly, *([(PLANNED, planned)] if (planned / MANIFEST).exists() else [])]


def _rewrite_folder(
    engine: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    month: str | None,
    epoch: str,
    without: Without,
    fence: CommitFence,
) -> int | None:
    """Rows removed, None where the folder holds nothing of these people and stays as it is."""
    manifest = open_table(folder)
    if manifest is None or not manifest.files:
        return None
    kind = EMAIL if table == EMAIL else MEETINGS
    files = [str(path) for path in manifest.paths(folder)]
    beside = [str(path) for path in manifest.paths(folder, LEFT_OUT)]
    values = {"files": files, **without.values}
    unseen = _left_out_of(engine, beside, without)
    if not unseen and engine.execute(sql(MODELS, f"{kind}_touched"), values).fetchone() is None:
        return None
    before = _tally(engine, kind, files)
    part = _rewritten(engine, folder, table, f"{kind}_without", values)
    parts = [part]
    if beside:
        left = {"files": beside, "mailboxes": sorted(without.mailboxes)}
        parts.append(_rewritten(engine, folder, LEFT_OUT, "left_out_without", left))
    after = _tally(engine, kind, [str(folder / part.name)])
    commit_manifest(
        folder,
        epoch=epoch,
        table=table,
        month=month,
        files=parts,
        fence=fence,
        inputs=dict(manifest.inputs),
        quality=adjusted(manifest.quality, before, after, unseen),
        first_at=after["first_at"],
        last_at=after["last_at"],
        read_at=manifest.shows_until,
    )
    return manifest.rows - part.rows


def _rewritten(
    engine: duckdb.DuckDBPyConnection, folder: Path, table: str, model: str, values: Mapping[str, Any]
) -> DataFile:
    return write_part(folder, table, lambda path: copy_to_parquet(engine, sql(MODELS, model), path, dict(values)))


def _left_out_of(engine: duckdb.DuckDBPyConnection, files: list[str], without: Without) -> dict[str, tuple[int, int]]:
    """By reason: copies of these mailboxes that the rows do not show, and of how many mailboxes."""
    if not files:
        return {}
    values = {"files": files, "mailboxes": sorted(without.mailboxes)}
    rows = engine.execute(sql(MODELS, "left_out_of"), values).fetchall()
    return {reason: (copies, mailboxes) for reason, copies, mailboxes in rows}


def adjusted(
    quality: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    unseen: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """The quality record (B9) after a rewrite: what follows from rows is counted anew; what was dropped or read
    of the erased mailboxes (`unseen`: copies and mailboxes by reason) goes; and the sum with it. Rows that a source could
    not read at all belong to no mailbox and stay counted."""
    record = dict(quality)
    record.pop("by_day", None)
    for name in ("distinct_emails", "distinct_meetings", "duplicates", "clock_corrected"):
        if name in record and name in after:
            record[name] += after[name] - before[name]
    dropped = dict(record.get("dropped", {}))
    if "meeting_messages" in after and "meeting_message" in dropped:
        dropped["meeting_message"] += after["meeting_messages"] - before["meeting_messages"]
    for reason, (copies, _) in unseen.items():
        if reason in dropped:
            dropped[reason] -= copies
    record["dropped"] = dropped = {reason: copies for reason, copies in dropped.items() if copies}
    if "copies_read" in record:
        distinct = record.get("distinct_emails", 0) + record.get("distinct_meetings", 0)
        left_out = record.get("left_out_copies", 0)
        record["copies_read"] = distinct + record.get("duplicates", 0) + sum(dropped.values()) + left_out
    counted = dict(record.get("mailboxes", {}))
    for name in ("expected", "done"):
        if name in counted:
            counted[name] -= unseen.get("read", (0, 0))[1]
    record["mailboxes"] = counted
    return record


def _tally(engine: duckdb.DuckDBPyConnection, kind: str, files: Collection[str]) -> dict[str, Any]:
    cursor = engine.execute(sql(MODELS, f"{kind}_tally"), {"files": list(files)})
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _drop_parts(folder: Path) -> None:
    for part in folder.glob("part-*"):
        part.unlink(missing_ok=True)


def _drop_folder(folder: Path) -> None:
    """Derived rows of a month: the manifest first, so that nothing is named that is gone."""
    (folder / MANIFEST).unlink(missing_ok=True)
    _drop_below(folder)


def _drop_below(folder: Path) -> None:
    """Remove what a folder holds, but for what others make there meanwhile."""
    for here, folders, files in os.walk(folder, topdown=False):
        for path in (Path(here) / name for name in (*files, *folders)):
            try:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise


def _serve() -> int:
    request = json.load(sys.stdin)
    layout, epoch = Layout(Path(request["data_dir"])), request["epoch"]
    tree = layout.epoch(epoch)
    try:
        counts = rewrite_lake(
            tree,
            epoch,
            Without(frozenset(request["mailboxes"]), frozenset(request["addresses"])),
            fence=partial(ControlLedger(layout).commit_fence, epoch, Purpose.DERIVE),
            lock=lambda name: locked(layout.work_lock(name)),
            spill=make_folder(tree.spill),
            memory_limit=request["memory_limit"],
            threads=request["threads"],
        )
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(counts))
    return 0


def rewrite_restored(tree: EpochLayout, epoch: str, without: Without) -> dict[str, int]:
    """The same on a backup that was opened into a work folder and is not served yet: no fence, no other writer."""
    return rewrite_lake(tree, epoch, without, fence=nullcontext, lock=lambda name: nullcontext(), spill=tree.root)


if __name__ == "__main__":
    sys.exit(_serve())
