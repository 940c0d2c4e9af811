"""One person: erasing, subject access, and what opt-outs take from what was collected; restoring backups under them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline.consent.enforcement import bearer_of, hold_users, out_by_hand
from relationship_pipeline.domain.consent import ConsentRecord, Purpose
from relationship_pipeline.domain.optout import Kind, OptOut
from relationship_pipeline.errors import BadInput, BadLake
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.operations.collection import persons_of_crm, rules_now
from relationship_pipeline.operations.deletion import backup_store
from relationship_pipeline.operations.insights import build_everything
from relationship_pipeline.operations.work import Work, within_epoch
from relationship_pipeline.sources.base import Directory


def erase_person(work: Work, address: str, *, everywhere: bool) -> str:
    """Erase one person now (W5); the status the request ends with. Raises BadInput, ConsentRefused, PipelineError."""
    from relationship_pipeline.erasure.person import address_of, identify, request_erasure

    record, directory = _held(work)
    if directory is not None and not everywhere:
        members = {row["user_id"] for row in directory.users.to_pylist() if row["is_member"]}
        if not members & identify(directory, address_of(address), {}).user_ids:
            raise BadInput(
                "no member of the directory has that address, so there is no mailbox to erase; to take somebody outside "
                "out of everybody's mail say --scope everywhere"
            )
    request = request_erasure(work.settings.layout, record.epoch, address, everywhere=everywhere, now=datetime.now(UTC))
    if directory is not None:
        hold_users(work.settings.layout, record.epoch, directory)
    work.report(f"recorded as request {request}")
    return erase_requested_person(work, request)


@within_epoch
def erase_requested_person(work: Work, request: str) -> str:
    """Carry out a request that `erase_person` recorded; safe to repeat."""
    from relationship_pipeline.erasure.person import run_request

    record, directory = _held(work)
    status = run_request(
        work.settings,
        record.epoch,
        request,
        directory,
        persons_of_crm(work.settings, record.epoch, directory),
        rebuild=lambda: build_everything(work),
        now=lambda: datetime.now(UTC),
    )
    return status.value


@within_epoch
def apply_opt_outs(work: Work) -> bool:
    """Take out what opt-outs say must go and is still held (O2, O4), and publish under them; whether anything was taken
    out. Published anew even where nothing was: an introducer or a contact of the CRM may have to go from there (K5, O6)."""
    from relationship_pipeline.erasure.person import erase_due_people

    record, directory = _held(work)
    if directory is None:
        return False
    hold_users(work.settings.layout, record.epoch, directory)
    erased = erase_due_people(work.settings, record.epoch, rules_now(work.settings, record.epoch, directory))
    if erased:
        work.report("what opt-outs say must go was erased")
    build_everything(work)
    return erased


@within_epoch
def names_nobody(work: Work, address: str) -> bool:
    """Whether the directory was read and no member of it has this address."""
    _, directory = _held(work)
    return directory is not None and bearer_of(directory, address) is None


@within_epoch
def take_back_opt_out(work: Work, kind: Kind, subject: str) -> list[OptOut] | None:
    """Opt somebody in again; returns what else leaves the same address out. None where there was no entry of that name,
    and none that holds for whoever has the address now."""
    from relationship_pipeline.consent.optouts import OptOuts

    layout, epoch = work.settings.layout, work.ledger.require(Purpose.DERIVE).epoch
    try:
        _, directory = _held(work)
    except BadLake:
        directory = None  # by name it goes without
    bearer = bearer_of(directory, subject) if directory is not None else None
    if not OptOuts(layout, epoch).end(kind, subject, datetime.now(UTC), bearer):
        return None
    return out_by_hand(layout, epoch, directory, subject) if kind in (Kind.USER, Kind.ADDRESS) else []


@within_epoch
def further_addresses(work: Work, address: str) -> int:
    """How many more addresses the CRM lists for the person who has this one: they are left out with it (O6)."""
    record, directory = _held(work)
    return len(persons_of_crm(work.settings, record.epoch, directory).get(address, frozenset()) - {address})


@within_epoch
def export_person(work: Work, address: str) -> dict[str, Any]:
    """All that is held about one address (W7, O6), as plain data."""
    from relationship_pipeline.erasure import access
    from relationship_pipeline.erasure.person import address_of, identify

    record, directory = _held(work)
    person = identify(directory, address_of(address), persons_of_crm(work.settings, record.epoch, directory))
    return access.export_person(work.settings, record.epoch, person, datetime.now(UTC))


@within_epoch
def restore_backup(work: Work, path: Path) -> Mapping[str, int]:
    """Put a backup's months back without what was opted out or erased since; counts `folders` and `rows`."""
    from relationship_pipeline.erasure import backups
    from relationship_pipeline.erasure.person import forbidden
    from relationship_pipeline.erasure.rewrite import rewrite_restored
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    try:
        held = load_directory(work.settings.layout.epoch(record.epoch))
    except BadLake:
        held = None  # damage is what a backup is for

    def reapply(restored: EpochLayout) -> None:
        directory = held or load_directory(restored)
        if directory is None:
            raise BadInput("the backup holds no directory, so opt-outs cannot be applied to it; it is not restored")
        rules = rules_now(work.settings, record.epoch, directory)
        if without := forbidden(restored, rules, work.settings):
            rewrite_restored(restored, record.epoch, without)

    return backups.restore_backup(
        work.settings.layout, backup_store(work.settings), path, reapply=reapply, now=datetime.now(UTC)
    )


def _held(work: Work) -> tuple[ConsentRecord, Directory | None]:
    from relationship_pipeline.lake.directory import load_directory

    record = work.ledger.require(Purpose.DERIVE)
    return record, load_directory(work.settings.layout.epoch(record.epoch))
