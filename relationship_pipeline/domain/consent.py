"""Consent as data: states, what each allows, and the record (C1-C6). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ConsentState(StrEnum):
    """C6."""

    NONE = "none"
    GRANTED = "granted"
    SUSPECT = "suspect"
    PRESUMED_WITHDRAWN = "presumed_withdrawn"
    WITHDRAWN = "withdrawn"
    ERASING = "erasing"
    ERASED = "erased"


class ConsentLevel(StrEnum):
    """C3. `aggregated` is accepted in the record and refused at collection until it is built."""

    IDENTIFIABLE = "identifiable"
    AGGREGATED = "aggregated"


class Purpose(StrEnum):
    """What a commit is for: reading mailboxes, or deriving from what was read."""

    COLLECT = "collect"
    DERIVE = "derive"


LIVE_STATES = frozenset({ConsentState.GRANTED, ConsentState.SUSPECT})
"""States under which an epoch's data stays and may be worked on."""

WATCHED_STATES = LIVE_STATES | {ConsentState.PRESUMED_WITHDRAWN}
"""States that a look at the directory can change (C6)."""

ENDED_STATES = frozenset({ConsentState.WITHDRAWN, ConsentState.ERASING, ConsentState.ERASED})
"""States that an epoch never leaves again for a live one."""

_CHANGES = {
    ConsentState.GRANTED: LIVE_STATES | ENDED_STATES | {ConsentState.PRESUMED_WITHDRAWN},
    ConsentState.SUSPECT: LIVE_STATES | ENDED_STATES | {ConsentState.PRESUMED_WITHDRAWN},
    ConsentState.PRESUMED_WITHDRAWN: ENDED_STATES | {ConsentState.GRANTED},
    ConsentState.WITHDRAWN: ENDED_STATES,
    ConsentState.ERASING: ENDED_STATES - {ConsentState.WITHDRAWN},
    ConsentState.ERASED: frozenset({ConsentState.ERASED}),
}


def may_change(old: ConsentState, new: ConsentState) -> bool:
    """C6: an epoch whose consent ended stays ended; consent given again is a new epoch (W6)."""
    return new in _CHANGES.get(old, frozenset())


CONSENT_TEXT_VERSION = "2026-11"
CONSENT_SCOPE = "relationship analytics and who knows whom"
"""C2: one tenant-wide consent covers both."""


@dataclass(frozen=True)
class ConsentRecord:
    """The consent that an epoch hangs on, as of its last event.

    `admin` is the only personal field of the control tree. `verified` says whether the directory confirmed the role
    (C1). `first_month` is the oldest month of the epoch's collection window (B1); all months from there to the running
    one are inside it.
    """

    epoch: str
    state: ConsentState
    level: ConsentLevel
    admin: str
    admin_role: str
    verified: bool
    text_version: str
    granted_at: datetime
    changed_at: datetime
    first_month: str


def refusal(record: ConsentRecord | None, purpose: Purpose) -> str | None:
    """Why this purpose is not allowed now, as one line that says what to do; None when it is allowed (C4)."""
    provide = "run `relationship-pipeline consent provide --admin WHO`"
    if record is None:
        return f"there is no consent yet: {provide}"
    if record.state in LIVE_STATES and purpose is Purpose.DERIVE:
        return None
    if record.state is ConsentState.SUSPECT:
        return (
            "collection is paused: the directory no longer confirms the consent; "
            "`relationship-pipeline doctor` says what is missing"
        )
    if record.state is not ConsentState.GRANTED:
        return f"the consent is {record.state.value.replace('_', ' ')}; to start again from nothing {provide}"
    if record.level is ConsentLevel.AGGREGATED:
        return "the consent's level is aggregated, which cannot be collected yet: provide level identifiable"
    return None


class Confirmation(StrEnum):
    """What one look at the directory says about the application's grants."""

    PRESENT = "present"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """An operational fault (secret expired, throttled, 403, outage): says nothing about consent (C6)."""


MISSES_APART = timedelta(minutes=5)
"""C6, graph.md 4.3: the directory's list of grants lags, so one miss only pauses."""


def after_look(
    state: ConsentState, first_miss: datetime | None, seen: Confirmation, now: datetime, *, only_suspect: bool
) -> tuple[ConsentState, datetime | None]:
    """The state after a look at the directory, with the first miss of the row of misses under way (C6).

    `only_suspect`: grant mode exchange_rbac, in which the directory cannot prove a withdrawal.
    """
    if state not in WATCHED_STATES or seen is Confirmation.UNKNOWN:
        return state, first_miss
    if seen is Confirmation.PRESENT:
        return ConsentState.GRANTED, None
    if state is ConsentState.GRANTED or first_miss is None:
        return ConsentState.SUSPECT, now
    if state is ConsentState.SUSPECT and not only_suspect and now - first_miss >= MISSES_APART:
        return ConsentState.PRESUMED_WITHDRAWN, first_miss
    return state, first_miss
