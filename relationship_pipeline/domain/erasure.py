"""The deletion as data: its states, what each promises, and its deadlines (W1-W3, reliability.md 3.3). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum


class ErasureState(StrEnum):
    """In order. A deletion *is in* a state once that state's work is done; what it works on is noted beside it."""

    REQUESTED = "REQUESTED"
    FENCED = "FENCED"
    UNSERVED = "UNSERVED"
    DRAINED = "DRAINED"
    KEY_DESTROYED = "KEY_DESTROYED"
    FILES_ERASED = "FILES_ERASED"
    SCRUBBED = "SCRUBBED"
    VERIFIED = "VERIFIED"
    BACKUPS_DUE = "BACKUPS_DUE"
    CLOSED = "CLOSED"


PROMISES = {
    ErasureState.REQUESTED: "the withdrawal and its deadlines are on disk",
    ErasureState.FENCED: "no commit of the epoch can happen any more (done by the withdraw command itself)",
    ErasureState.UNSERVED: "published databases and exports are gone from where readers look",
    ErasureState.DRAINED: "runs of the epoch are cancelled, registered processes have ended",
    ErasureState.KEY_DESTROYED: "the epoch's backup key is overwritten and unlinked: backups cannot be opened",
    ErasureState.FILES_ERASED: "the epoch's tree and the Exchange export in the inbox are unlinked",
    ErasureState.SCRUBBED: "Dagster's storage holds none of the epoch's runs; SQLite files are rewritten",
    ErasureState.VERIFIED: "an independent scan found nothing; the app certificate is written",
    ErasureState.BACKUPS_DUE: "sealed backups may still lie in their store, unreadable, until their due date",
    ErasureState.CLOSED: "no backup of the epoch is left; the final certificate is written",
}
AFTER_A_HIT = ErasureState.KEY_DESTROYED
"""Where a deletion falls back to when the scan finds something: files are erased again (reliability.md 3.3)."""

APP_PROMISE = timedelta(hours=24)
BACKUP_PROMISE = timedelta(days=30)
PRESUMED_WAIT = timedelta(hours=12)
"""C6: how long after the first miss a presumed withdrawal is deleted."""


def after(state: ErasureState) -> ErasureState | None:
    """The state to work on next; None when the deletion is closed."""
    states = list(ErasureState)
    position = states.index(state) + 1
    return states[position] if position < len(states) else None


def has_reached(state: ErasureState, milestone: ErasureState) -> bool:
    states = list(ErasureState)
    return states.index(state) >= states.index(milestone)


class Alert(IntEnum):
    """How loudly a deletion that is not done speaks; from WARNING on it counts as at risk."""

    NONE = 0
    INFO = 1
    WARNING = 2
    PAGE = 3
    PAGE_ALL = 4
    BREACH = 5


_APP_STEPS = (
    (APP_PROMISE, Alert.BREACH),
    (timedelta(hours=20), Alert.PAGE_ALL),
    (timedelta(hours=12), Alert.PAGE),
    (timedelta(hours=6), Alert.WARNING),
    (timedelta(hours=1), Alert.INFO),
)
_BACKUP_STEPS = (
    (BACKUP_PROMISE, Alert.BREACH),
    (timedelta(days=28), Alert.PAGE),
    (timedelta(days=21), Alert.WARNING),
    (timedelta(days=7), Alert.INFO),
)


@dataclass(frozen=True)
class Erasure:
    """One deletion as the control ledger holds it. All times are UTC instants."""

    epoch: str
    state: ErasureState
    working_on: ErasureState | None
    blocked: str
    source: str
    reason: str
    requested_at: datetime
    due_app: datetime
    due_backup: datetime

    def alert(self, now: datetime) -> Alert:
        """W3, at the steps of reliability.md 3.3. `now` is the ledger's clock, which never goes back."""
        waited = now - self.requested_at
        if self.state is ErasureState.CLOSED:
            return Alert.NONE
        steps = _BACKUP_STEPS if has_reached(self.state, ErasureState.VERIFIED) else _APP_STEPS + _BACKUP_STEPS
        return max((alert for wait, alert in steps if waited >= wait), default=Alert.NONE)

    def is_overdue(self, now: datetime) -> bool:
        return self.alert(now) is Alert.BREACH

    def is_at_risk(self, now: datetime) -> bool:
        return self.alert(now) >= Alert.WARNING


def requested(epoch: str, at: datetime, *, source: str, reason: str) -> Erasure:
    """A new deletion: durations from one UTC instant, so no change to summer time stretches them."""
    return Erasure(
        epoch=epoch,
        state=ErasureState.REQUESTED,
        working_on=ErasureState.FENCED,
        blocked="",
        source=source,
        reason=reason,
        requested_at=at,
        due_app=at + APP_PROMISE,
        due_backup=at + BACKUP_PROMISE,
    )
