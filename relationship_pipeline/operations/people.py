"""One person: erasing, subject access, and what opt-outs take from what was collected; restoring backups under them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.consent.enforcement import Rules
from relationship_pipeline.domain.consent import ConsentRecord, Purpose
from relationship_pipeline.errors import BadInput
from relationship_pipeline.operations.collection import rules_now
from relationship_pipeline.operations.deletion import backup_store
from relationship_pipeline.operations.insights import build_everything
from relationship_pipeline.operations.work import Work
from relationship_pipeline.sources.base import Directory


def erase_person(work: Work, address: str, *, everywhere: bool) -> str:
    """Erase one person now (W5); the status the request ends with. Raises BadInput, ConsentRefused, PipelineError."""
    from relationship_pipeline.erasure.person import request_erasure

    record = work.ledger.require(Purpose.DERIVE)
    request = request_erasure(
        work.settings.layout, record.epoch, address, everywhere=everywhere, now=datetime.now(UTC)
    )
    return erase_requested_person(work, request)


def erase_requested_person(work: Work, request: str) -> str:
    """Carry out a request that `erase_person` recorded; safe to repeat."""
    from relationship_pipeline.erasure.person import run_request

    record, directory = _held(work)
    status = run_request(
        work.settings,
        record.epoch,
        request,
        directory,
        rebuild=lambda: build_everything(work),
        now=lambda: datetime.now(UTC),
    )
    return status.value


def erase_opted_out(work: Work) -> bool:
    """Take out what opt-outs say must go and is still held (O2, O4), and publish without it; whether anything was."""
    from relationship_pipeline.erasure.person import people_due
    from relationship_pipeline.erasure.rewrite import rewrite_in_fresh_process

    record, directory = _held(work)
    if directory is None:
        return False
    tree = work.settings.layout.epoch(record.epoch)
    due = people_due(tree, rules_now(work.settings, record.epoch, directory), work.settings)
    if not due:
        return False
    work.report("erasing what opt-outs say must go")
    rewrite_in_fresh_process(work.settings, record.epoch, due)
    build_everything(work)
    return True


def export_person(work: Work, address: str) -> dict[str, Any]:
    """All that is held about one address (W7, O6), as plain data."""
    from relationship_pipeline.erasure import access
    from relationship_pipeline.erasure.person import identify

    record, directory = _held(work)
    if "@" not in address:
        raise BadInput("that is not an address; write it as name@example.com")
    return access.export_person(work.settings, record.epoch, identify(directory, address), datetime.now(UTC))


def restore_backup(work: Work, path: Path) -> Mapping[str, int]:
    """Put a backup's months back without what was opted out or erased since; counts `folders` and `rows`."""
    from relationship_pipeline.erasure import backups
    from relationship_pipeline.erasure.person import rules_to_reapply
    from relationship_pipeline.erasure.rewrite import rewrite_restored

    record, directory = _held(work)
    rules: Rules | None = rules_now(work.settings, record.epoch, directory) if directory else None

    def reapply(restored: Any) -> None:
        if rules is not None and (without := rules_to_reapply(rules)):
            rewrite_restored(restored, record.epoch, without)

    return backups.restore_backup(
        work.settings.layout, backup_store(work.settings), path, reapply=reapply, now=datetime.now(UTC)
    )


def _held(work: Work) -> tuple[ConsentRecord, Directory | None]:
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    return record, load_directory(work.settings.layout.epoch(record.epoch))
