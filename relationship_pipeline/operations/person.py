"""One person: erased, or told what is held about them; and what a restored backup must not bring back (W5, W7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.errors import BadInput
from relationship_pipeline.operations.collection import EMAIL, rules_now
from relationship_pipeline.operations.deletion import backup_store
from relationship_pipeline.operations.insights import (
    build_contact_graph,
    build_health,
    build_kpis,
    build_who_knows_whom,
    derive_interactions,
    publish,
)
from relationship_pipeline.operations.work import Work, within_epoch

if TYPE_CHECKING:
    from relationship_pipeline.layout import EpochLayout


def erase_person(work: Work, address: str, *, everywhere: bool) -> str:
    """Record and carry out the erasure of one person; the status it ends with (W5)."""
    from relationship_pipeline.erasure import person

    record = work.ledger.require(Purpose.DERIVE)
    request = person.request_erasure(
        work.settings.layout, record.epoch, address, everywhere=everywhere, now=datetime.now(UTC)
    )
    return erase_requested_person(work, request)


@within_epoch
def erase_requested_person(work: Work, request: str) -> str:
    """Carry out an erasure that was recorded under a number; its status, NO_REQUEST where there is none."""
    from relationship_pipeline.erasure import person
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    return person.run_request(
        work.settings,
        record.epoch,
        request,
        load_directory(work.settings.layout.epoch(record.epoch)),
        rebuild=partial(rebuild, work),
        now=lambda: datetime.now(UTC),
    ).value


@within_epoch
def erase_opted_out(work: Work) -> bool:
    """Take out everybody who opted out with their existing data (O2) and build anew what was derived; returns whether
    anybody was due."""
    from relationship_pipeline.erasure.person import erase_due_people
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    directory = load_directory(work.settings.layout.epoch(record.epoch))
    if directory is None or not erase_due_people(
        work.settings, record.epoch, rules_now(work.settings, record.epoch, directory)
    ):
        return False
    rebuild(work)
    return True


def rebuild(work: Work) -> None:
    """Derive and publish anew from what the lake holds; nothing where no month was collected or nothing published."""
    record = work.ledger.require(Purpose.DERIVE)
    layout = work.settings.layout
    months = sorted(path.parent.name for path in layout.epoch(record.epoch).lake.glob(f"{EMAIL}/*/manifest.json"))
    if not months or not layout.published.exists():
        return
    for month in months:
        derive_interactions(work, month.removeprefix("month="))
    for step in (build_kpis, build_health, build_who_knows_whom, build_contact_graph, publish):
        step(work)


@within_epoch
def export_person(work: Work, address: str) -> dict[str, Any]:
    """All that is held about one address (W7), as erasure/access.py shapes it."""
    from relationship_pipeline.domain.addresses import normalize_address
    from relationship_pipeline.erasure import access
    from relationship_pipeline.erasure.person import identify
    from relationship_pipeline.lake.directory import load_directory

    subject = normalize_address(address)
    if subject is None or "@" not in subject:
        raise BadInput("that is not an address; write it as name@domain")
    record = work.ledger.require(Purpose.DERIVE)
    directory = load_directory(work.settings.layout.epoch(record.epoch))
    return access.export_person(work.settings, record.epoch, identify(directory, subject), datetime.now(UTC))


@within_epoch
def restore_backup(work: Work, path: Path) -> Mapping[str, int]:
    """Put a backup's months back without whoever opted out or was erased since, and build anew what is derived."""
    from relationship_pipeline.erasure import backups
    from relationship_pipeline.erasure.person import forbidden
    from relationship_pipeline.erasure.rewrite import rewrite_restored
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    settings = work.settings

    def reapply(restored: EpochLayout) -> None:
        directory = load_directory(settings.layout.epoch(record.epoch)) or load_directory(restored)
        if directory is None:
            raise BadInput("the backup holds no directory, so opt-outs cannot be applied to it; it is not restored")
        rules = rules_now(settings, record.epoch, directory)
        rewrite_restored(restored, record.epoch, forbidden(restored, rules, settings))

    counts = backups.restore_backup(
        settings.layout, backup_store(settings), path, reapply=reapply, now=datetime.now(UTC)
    )
    rebuild(work)
    return counts
