"""Deleting: after a withdrawal, one person, old backups. The control ledger is the truth; these are its motors' calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.watch import watch_directory
from relationship_pipeline.domain.consent import WATCHED_STATES, Confirmation, ConsentState, Purpose
from relationship_pipeline.domain.erasure import Alert, ErasureState, has_reached
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.operations.work import Work, within_epoch
from relationship_pipeline.settings import Settings, SourceKind

if TYPE_CHECKING:
    from relationship_pipeline.erasure.backups import BackupStore
    from relationship_pipeline.erasure.steps import Deletion, Hooks
    from relationship_pipeline.sources.graph.client import Patience


def backup_store(settings: Settings) -> BackupStore:
    """Where keys and sealed backups lie."""
    from relationship_pipeline.erasure.backups import BackupStore

    return BackupStore(keys=settings.keys_folder, backups=settings.backups_folder)


@within_epoch
def make_backup(work: Work) -> Mapping[str, int]:
    """Seal what the lake has committed (W2), without the months that are too old to be kept (B1), and remove backups that
    are. `bytes` of the new file, `backups` there are now, `old_backups`, `old_months` (folders) and `old_exports` that went."""
    from relationship_pipeline.erasure import backups
    from relationship_pipeline.lake.janitor import drop_old_exports, drop_old_months

    layout, store = work.settings.layout, backup_store(work.settings)
    record = work.ledger.require(Purpose.DERIVE)
    old_months = drop_old_months(layout, layout.epoch(record.epoch), work.settings.now())
    old_exports = drop_old_exports(layout.epoch(record.epoch), datetime.now(UTC))
    path = backups.make_backup(layout, store, record.epoch, datetime.now(UTC))
    old_backups = purge_backups(work.settings)["removed"]
    return {
        "bytes": path.stat().st_size,
        "backups": len(store.sealed(record.epoch)),
        "old_backups": old_backups,
        "old_months": old_months,
        "old_exports": old_exports,
    }


def purge_backups(settings: Settings) -> Mapping[str, int]:
    """Remove sealed backups that are too old or whose consent ended (W2); counts `removed` and `kept`."""
    from relationship_pipeline.erasure import backups

    return backups.purge_backups(settings.layout, backup_store(settings), datetime.now(UTC))


def deletions_due(settings: Settings) -> list[str]:
    """Epochs that are withdrawn and not verified yet, oldest first; a presumed withdrawal whose wait is over counts."""
    from relationship_pipeline.erasure.progress import ErasureProgress
    from relationship_pipeline.erasure.run import confirm_presumed, is_erased

    if not settings.layout.control_ledger.exists():
        return []
    confirm_presumed(settings.layout, datetime.now(UTC))
    return [one.epoch for one in ErasureProgress(settings.layout).all() if not is_erased(one)]


def backups_due(settings: Settings) -> list[str]:
    """Epochs whose live data is verified to be gone while sealed backups may still lie in their store (W2), oldest first."""
    from relationship_pipeline.erasure.progress import ErasureProgress
    from relationship_pipeline.erasure.run import is_erased

    every = ErasureProgress(settings.layout).all()
    return [one.epoch for one in every if is_erased(one) and one.state is not ErasureState.CLOSED]


def deletion(settings: Settings, hooks: Hooks | None = None, epoch: str = "") -> Deletion:
    """What a deletion of this data directory needs; `hooks` reach into Dagster."""
    from relationship_pipeline.erasure.steps import Deletion, Hooks

    return Deletion(
        layout=settings.layout,
        epoch=epoch,
        store=backup_store(settings),
        hooks=hooks or Hooks(),
        left_alone=settings.sources_outside,
    )


def next_consent_after(settings: Settings, epoch: str) -> datetime | None:
    """When the consent after this epoch's was given (W6); None while there is none."""
    return ControlLedger(settings.layout).next_granted_at(epoch)


def run_erasure(settings: Settings, hooks: Hooks) -> dict[str, str]:
    """Carry every open deletion as far as it goes; the state each stands at, by epoch. Raises Refused when nothing was
    ever withdrawn, or while another motor is at work."""
    from relationship_pipeline.erasure.run import run_all

    return {one.epoch: one.state.value for one in run_all(deletion(settings, hooks))}


def is_erased_state(state: str | None) -> bool:
    """Whether a deletion that stands at this state has kept its promise: verified and certified."""
    return state is not None and has_reached(ErasureState(state), ErasureState.VERIFIED)


def deletion_alert(settings: Settings) -> Alert:
    """How loudly the deletions that are not done speak (W3)."""
    from relationship_pipeline.erasure.run import check_deadlines

    return check_deadlines(settings.layout, datetime.now(UTC))


def has_consent_to_watch(settings: Settings) -> bool:
    """Whether a directory stands behind the live consent that can withdraw it (C6): Graph, not a folder."""
    record = ControlLedger(settings.layout).current()
    return settings.source is SourceKind.GRAPH and record is not None and record.state in WATCHED_STATES


def check_consent(work: Work) -> str:
    """Look at the directory once and record what follows (C6); the state after it, `none` before the first consent."""
    settings = work.settings
    if settings.source is not SourceKind.GRAPH:
        record = work.ledger.current()
        return record.state.value if record else ConsentState.NONE.value
    state = watch_directory(
        settings.layout,
        lambda: look_at_grants(settings),
        datetime.now(UTC),
        grant_mode=settings.graph.grant_mode,
        application=f"{settings.graph.tenant_id}/{settings.graph.client_id}",
    )
    return (state or ConsentState.NONE).value


def look_at_grants(settings: Settings, patience: Patience | None = None) -> Confirmation:
    """What the directory says about our grants, with a fresh sign-in; an operational fault says nothing (C6). Grants in
    Exchange do not stand there: the sentinel mailbox tells of them, if the settings name one (graph.md 1.2)."""
    from relationship_pipeline.sources.graph.access import GraphAccess
    from relationship_pipeline.sources.graph.auth import CALENDAR_ROLES, MAIL_ROLES, TokenRefused, Trouble
    from relationship_pipeline.sources.graph.client import PATIENT
    from relationship_pipeline.sources.graph.directory import Probe

    access = GraphAccess(settings.graph, patience or PATIENT)
    in_exchange = settings.graph.grant_mode == "exchange_rbac"
    try:
        grants = access.read_grants()
        sentinel = access.probe_mailbox() if in_exchange and settings.graph.sentinel_mailbox else None
    except TokenRefused as refused:
        return Confirmation.MISSING if refused.trouble is Trouble.WITHDRAWN else Confirmation.UNKNOWN
    except PipelineError:
        return Confirmation.UNKNOWN
    if not grants.found or not grants.enabled:
        return Confirmation.MISSING
    if in_exchange and sentinel not in (None, Probe.READABLE):
        return Confirmation.MISSING if sentinel is Probe.REFUSED else Confirmation.UNKNOWN
    missing = [] if in_exchange else grants.missing([MAIL_ROLES, CALENDAR_ROLES])
    return Confirmation.MISSING if missing else Confirmation.PRESENT
