"""Watching the directory for a withdrawal that nobody told us about (C6, graph.md 4.2-4.3).

Decides and records; deletes nothing. A presumed withdrawal becomes one 12 hours after the first miss
(erasure/run.py `confirm_presumed`), unless a look finds the grant again before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Confirmation, ConsentState, after_look
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.layout import Layout

_REASONS = {
    ConsentState.GRANTED: "the directory shows the grant again",
    ConsentState.SUSPECT: "the directory did not show the grant",
    ConsentState.PRESUMED_WITHDRAWN: "the directory did not show the grant twice, at least 5 minutes apart",
}


def watch_directory(
    layout: Layout, read_grants: Callable[[], Confirmation], now: datetime, *, grant_mode: str, application: str
) -> ConsentState | None:
    """Look once and record what follows; returns the state, None before the first consent.

    `read_grants` looks at the directory with a fresh token; a PipelineError of it counts as an operational fault, and so does
    a grant that another `application` (tenant and client id) lacks than the one that had it: somebody mistyped a setting.
    `now` may go back: the state only ever waits longer, never shorter.
    """
    control = ControlLedger(layout)
    record = control.current()
    if record is None:
        return None
    try:
        seen = read_grants()
    except PipelineError:
        seen = Confirmation.UNKNOWN
    confirmed = control.application(record.epoch)
    if seen is Confirmation.PRESENT and application != confirmed:
        control.set_application(record.epoch, application)
    elif seen is Confirmation.MISSING and confirmed not in (None, application):
        seen = Confirmation.UNKNOWN
    state, first_miss = after_look(
        record.state, control.first_miss(record.epoch), seen, now, only_suspect=grant_mode == "exchange_rbac"
    )
    if first_miss != control.first_miss(record.epoch):
        control.set_first_miss(record.epoch, first_miss)
    if state is not record.state:
        control.change_state(record.epoch, state, now=now, reason=_REASONS[state])
    return state
