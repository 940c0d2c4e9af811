"""The work of each state of a deletion (reliability.md 3.3). Every step is idempotent: what is already gone is success.

A step returns its facts (counts, never a name) and raises Blocked when it has to be tried again later.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.domain.erasure import ErasureState
from relationship_pipeline.durable import TEMP_PREFIX, fsync_folder
from relationship_pipeline.erasure import scanner
from relationship_pipeline.erasure.backups import BackupStore
from relationship_pipeline.erasure.certificate import issue_certificate
from relationship_pipeline.erasure.data_map import STORES, remaining, store_of
from relationship_pipeline.erasure.progress import ErasureProgress
from relationship_pipeline.erasure.workers import end_workers, wait_for_handles
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import Layout
from relationship_pipeline.publishing.register import list_exports


class Blocked(Exception):
    """This step cannot be finished now; the text says why, without personal data."""


class ScanHit(Exception):
    """The verification found something; the text names the kinds with their counts."""


Facts = dict[str, Any]

INBOX_OF_LIVE = frozenset({"Exchange export", "Exchange export link"})
"""Stores that belong to a later consent while there is one."""


@dataclass(frozen=True)
class Hooks:
    """What only the orchestrator can do. `cancel_runs`: cancel the epoch's runs and return how many still run.
    `scrub`: delete the epoch's runs, partitions, cursors and logs from the orchestrator's storage, return counts."""

    cancel_runs: Callable[[str], int] = lambda epoch: 0
    scrub: Callable[[str], Mapping[str, int]] = lambda epoch: {}


@dataclass(frozen=True)
class Deletion:
    """Everything a step needs. `now` is the clock; `grace_seconds` bounds each wait for processes to let go; `left_alone` are
    the company's own folders outside the data directory that were read, by what they are."""

    layout: Layout
    epoch: str
    store: BackupStore
    hooks: Hooks = Hooks()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    grace_seconds: float = 60.0
    left_alone: Mapping[str, Path] = field(default_factory=dict)

    @property
    def progress(self) -> ErasureProgress:
        return ErasureProgress(self.layout)


def unserve(deletion: Deletion) -> Facts:
    """Take the published files and exports from where readers look. Before that, once: count what is there by the
    same scan that verifies later, which shows that it can see (W4)."""
    progress = deletion.progress
    if "before" not in progress.facts(deletion.epoch):
        progress.remember(deletion.epoch, "exports", _handed_out(deletion))
        left_alone = {what: count_files(folder) for what, folder in deletion.left_alone.items()}
        progress.remember(deletion.epoch, "left_alone", left_alone)
        progress.remember(deletion.epoch, "before", run_scan(deletion, "before"))
    link = deletion.layout.published
    tree = deletion.layout.epoch(deletion.epoch)
    if link.is_symlink() and deletion.epoch in link.readlink().parts:
        link.unlink()
        fsync_folder(link.parent)
    return {"unlinked": sum(_unlink_below(folder) for folder in (tree.published, tree.exports))}


def _handed_out(deletion: Deletion) -> Facts:
    """What was exported, by number. A register that cannot be read, or is gone, must not keep the data beside it from
    being erased: then the certificate says so."""
    try:
        return {"numbers": [one.number for one in list_exports(deletion.layout.epoch(deletion.epoch).ledger)]}
    except Refused:
        return {"numbers": [], "register": "it could not be read"}


def drain(deletion: Deletion) -> Facts:
    """Cancel the epoch's runs, end our own registered processes, wait until nobody holds a file of the tree.

    Somebody else's open file does not keep the bytes on disk from being unlinked, so it stops the verification, not
    this step.
    """
    running = deletion.hooks.cancel_runs(deletion.epoch)
    if running:
        raise Blocked(f"{running} run(s) of the epoch have not ended yet")
    ended = end_workers(deletion.layout, deletion.epoch, grace_seconds=deletion.grace_seconds)
    held = wait_for_handles(deletion.layout.epoch(deletion.epoch).root, grace_seconds=deletion.grace_seconds)
    return {**ended, "handles_left": held}


def destroy_key(deletion: Deletion) -> Facts:
    """Overwrite and unlink the epoch's key. From here on its backups cannot be opened by anybody."""
    path = deletion.store.key_path(deletion.epoch)
    if not path.exists():
        return {"keys": 0}
    key_id = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    deletion.progress.remember(deletion.epoch, "key", {"id": key_id, "how": "overwritten and unlinked"})
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.write(descriptor, secrets.token_bytes(path.stat().st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    fsync_folder(path.parent)
    return {"keys": 1}


def erase_files(deletion: Deletion) -> Facts:
    """Rename every tree of a dead epoch away, so that nothing can be made again at its path, then unlink bottom-up.

    The export in the inbox goes with the newest epoch; given under a later consent, it is that one's.
    """
    layout = deletion.layout
    control = ControlLedger(layout)
    newest = control.current()
    with locked(layout.fence_lock):
        live = set(control.live_epochs())
        if layout.epochs.is_dir():
            for tree in sorted(layout.epochs.iterdir()):
                if tree.name not in live and not tree.name.startswith(".dead-"):
                    tree.rename(layout.epochs / f".dead-{tree.name}-{secrets.token_hex(4)}")
            fsync_folder(layout.epochs)
        inbox = layout.inbox_data_connect
        if newest is not None and newest.epoch not in live:
            if inbox.is_symlink():
                inbox.unlink()
            elif inbox.is_dir():
                inbox.rename(layout.epochs / f".dead-inbox-{secrets.token_hex(4)}")
    files = size = 0
    for tree in sorted(layout.epochs.glob(".dead-*")):
        removed = _remove_tree(tree)
        files, size = files + removed[0], size + removed[1]
    for folder in (layout.root, layout.dagster_home, deletion.store.keys):
        for temp in _temp_files(folder):
            temp.unlink(missing_ok=True)
    return {"files": files, "bytes": size}


def scrub(deletion: Deletion) -> Facts:
    """Clear the orchestrator's storage of the epoch's runs and rewrite every SQLite file that stays, because deleted
    rows stay in free pages (reliability.md 3.1)."""
    counts = dict(deletion.hooks.scrub(deletion.epoch))
    vacuumed = 0
    for path in _sqlite_files(deletion.layout):
        try:
            with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
                connection.execute("vacuum")
                connection.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.DatabaseError as error:
            raise Blocked(f"{path.relative_to(deletion.layout.root)} cannot be rewritten: {error}") from None
        vacuumed += 1
    return {"sqlite_rewritten": vacuumed, **counts}


def verify(deletion: Deletion) -> Facts:
    """Scan in a fresh process; on a clean result issue the app certificate and record the consent as erased.

    Raises ScanHit with the kinds found.
    """
    result = run_scan(deletion, "after")
    if not result["clean"]:
        kinds = sorted({finding["kind"] for finding in result["findings"]})
        raise ScanHit(", ".join(f"{kind} ({sum(f['kind'] == kind for f in result['findings'])})" for kind in kinds))
    now = deletion.now()
    facts = {"scan": _without_paths(result)}
    issue_certificate(deletion.layout, deletion.epoch, "app", _certified(deletion, result), now)
    ControlLedger(deletion.layout).change_state(deletion.epoch, ConsentState.ERASED, now=now, reason="verified")
    return facts


def note_backups(deletion: Deletion) -> Facts:
    """What is left in the backup store, unreadable since its key went."""
    return {"sealed_left": len(deletion.store.sealed(deletion.epoch))}


def purge(deletion: Deletion) -> Facts:
    """Delete the epoch's sealed files and issue the final certificate. Blocked while the store cannot be reached."""
    folder = deletion.store.folder(deletion.epoch)
    facts = deletion.progress.facts(deletion.epoch)
    known = facts.get(ErasureState.BACKUPS_DUE.value, {}).get("sealed_left", 0)
    if known and not deletion.store.backups.is_dir():
        raise Blocked("the backup store cannot be reached")
    removed = 0
    try:
        if folder.is_dir():
            removed = _remove_tree(folder)[0]
    except OSError as error:
        raise Blocked(f"a sealed backup cannot be deleted yet ({type(error).__name__})") from None
    result = run_scan(deletion, "after")
    deletion.progress.remember(deletion.epoch, "purged", {"sealed_removed": removed})
    issue_certificate(deletion.layout, deletion.epoch, "final", _certified(deletion, result), deletion.now())
    return {"sealed_removed": removed}


STEPS: Mapping[ErasureState, Callable[[Deletion], Facts]] = {
    ErasureState.UNSERVED: unserve,
    ErasureState.DRAINED: drain,
    ErasureState.KEY_DESTROYED: destroy_key,
    ErasureState.FILES_ERASED: erase_files,
    ErasureState.SCRUBBED: scrub,
    ErasureState.VERIFIED: verify,
    ErasureState.BACKUPS_DUE: note_backups,
    ErasureState.CLOSED: purge,
}
"""The work that leads into each state; REQUESTED and FENCED are the withdraw command's own transaction."""


def scan_plan(layout: Layout, store: BackupStore, epoch: str, mode: str) -> dict[str, Any]:
    """The plan that the scanner takes, from the data map and the ledger, as plain data (see its docstring)."""
    control = ControlLedger(layout)
    live = control.live_epochs()
    return {
        "data_dir": str(layout.root),
        "epoch": epoch,
        "live_epochs": live if mode == "after" else [one for one in live if one != epoch],
        "keys_dir": str(store.keys),
        "backups_dir": str(store.backups),
        "mode": mode,
        "classes": [
            {
                "name": one.name,
                "regex": one.regex,
                "stays": one.stays or (bool(live) and one.name in INBOX_OF_LIVE),
                "scanned": one.scanned and not (live and one.name in INBOX_OF_LIVE),
            }
            for one in STORES
        ],
        "allowed_fields": [{"path": "control/ledger.sqlite", "table": "consent_event", "column": "admin"}],
    }


def run_scan(deletion: Deletion, mode: str) -> dict[str, Any]:
    """Run the scanner as a program of its own. Raises Blocked when it cannot run."""
    plan = scan_plan(deletion.layout, deletion.store, deletion.epoch, mode)
    done = subprocess.run(
        [sys.executable, "-I", scanner.__file__],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
        cwd=deletion.layout.control,
    )
    if done.returncode:
        raise Blocked("the scanner could not run to its end")
    return json.loads(done.stdout)


def _certified(deletion: Deletion, result: Mapping[str, Any]) -> Facts:
    """The facts of a certificate: everything but its place in the chain."""
    progress = deletion.progress
    erasure, facts = progress.get(deletion.epoch), progress.facts(deletion.epoch)
    before = facts.get("before", {}).get("classes", {})
    expected = {one.name for one in STORES if one.has_addresses} & set(before)
    layout = deletion.layout
    return {
        "request": {
            "source": erasure.source,
            "reason": erasure.reason,
            "requested_at": erasure.requested_at.isoformat(),
            "due_app": erasure.due_app.isoformat(),
            "due_backup": erasure.due_backup.isoformat(),
        },
        "steps": [{"state": state.value, "reached_at": at.isoformat()} for state, at in progress.steps(deletion.epoch)],
        "deleted": {
            state.value: facts[state.value]
            for state in STEPS
            if state.value in facts and state is not ErasureState.VERIFIED
        },
        "before": before,
        "after": result["classes"],
        "scan": {
            **_without_paths(result),
            "saw_addresses_before_in": sorted(n for n, seen in before.items() if seen["with_addresses"]),
            "blind_before_in": sorted(n for n in expected if not before[n]["with_addresses"]),
        },
        "key": facts.get("key", {"id": None, "how": "the epoch had no backup key"}),
        "backups": {
            "sealed_left": len(deletion.store.sealed(deletion.epoch)),
            "readable": False,
            "due": erasure.due_backup.isoformat(),
        },
        "remains": [
            {"what": one.name, "holds": one.holds.value, "files": result["classes"].get(one.name, {}).get("files", 0)}
            for one in remaining()
            if one.scanned
        ],
        "outside": [
            {"what": one.name, "files": result["classes"].get(one.name, {}).get("files", 0)}
            for one in STORES
            if not one.scanned
        ]
        + [{"what": what, "files": files} for what, files in facts.get("left_alone", {}).items()]
        + [
            {"what": "later consents' epochs", "files": len(ControlLedger(layout).live_epochs())},
            {"what": "exports handed out, by number in the register", **facts.get("exports", {"numbers": []})},
        ],
        "versions": {
            "python": sys.version.split()[0],
            "duckdb": version("duckdb"),
            "cryptography": version("cryptography"),
            "sqlite": sqlite3.sqlite_version,
        },
    }


def count_files(folder: Path) -> int:
    """Of a folder that may be gone, or not ours to look into."""
    return sum(len(names) for _, _, names in os.walk(folder))


def _without_paths(result: Mapping[str, Any]) -> Facts:
    return {
        "clean": result["clean"],
        "findings": len(result["findings"]),
        "files_read": result["files_read"],
        "processes_unseen": result["processes_unseen"],
        "scanner_version": result["scanner_version"],
    }


def _sqlite_files(layout: Layout) -> Iterator[Path]:
    """SQLite files that a deletion leaves standing."""
    for folder in (layout.control, layout.dagster_home):
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(layout.root).as_posix()
            if path.is_file() and not path.is_symlink() and store_of(relative) is not None:
                with path.open("rb") as file:
                    if file.read(16) == b"SQLite format 3\0":
                        yield path


def _temp_files(folder: Path) -> Iterator[Path]:
    return folder.glob(f"{TEMP_PREFIX}*") if folder.is_dir() else iter(())


def _unlink_below(folder: Path) -> int:
    """Unlink every file below a folder, keep the folders."""
    count = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                (Path(here) / name).unlink()
                count += 1
    return count


def _remove_tree(tree: Path) -> tuple[int, int]:
    """Unlink a tree bottom-up, links not followed; returns the files and bytes that went."""
    if not tree.is_dir() or tree.is_symlink():
        tree.unlink(missing_ok=True)
        return 1, 0
    count = size = 0
    for here, folders, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(here) / name
            with suppress(FileNotFoundError):
                size += path.lstat().st_size
                path.unlink()
                count += 1
        for name in folders:
            path = Path(here) / name
            with suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()
        fsync_folder(Path(here))
    tree.rmdir()
    fsync_folder(tree.parent)
    return count, size
