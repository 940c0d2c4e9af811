"""Where each deletion stands: rows of the control ledger, from which every motor (sensor, command, cron) resumes.

Facts (counts, key ids, scan results) are JSON without personal data; the certificates are made from them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from relationship_pipeline.consent.ledger import ControlLedger, read_erasure
from relationship_pipeline.domain.erasure import Erasure, ErasureState
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import Layout

NOTHING_WITHDRAWN = "nothing was withdrawn, so there is nothing to erase; `relationship-pipeline consent withdraw`"


class ErasureProgress:
    """Reads and moves the state of deletions; each change is one durable SQLite transaction."""

    def __init__(self, layout: Layout) -> None:
        self.control = ControlLedger(layout)

    def all(self) -> list[Erasure]:
        """Every deletion, oldest first."""
        if not self.control.layout.control_ledger.exists():
            return []
        with self.control.connect() as connection:
            epochs = connection.execute("select epoch from erasure order by requested_at, epoch").fetchall()
            return [_present(connection, row[0]) for row in epochs]

    def get(self, epoch: str) -> Erasure:
        """Raises Refused where the epoch was never withdrawn."""
        with self.control.connect() as connection:
            return _present(connection, epoch)

    def begin(self, epoch: str, state: ErasureState) -> None:
        """Note what is worked on, before the work."""
        with self.control.connect() as connection:
            connection.execute("update erasure set working_on = ? where epoch = ?", (state.value, epoch))

    def reach(self, epoch: str, state: ErasureState, now: datetime, facts: Mapping[str, Any]) -> None:
        """The state's work is done; its facts are kept under the state's name."""
        with self.control.connect() as connection:
            connection.execute(
                "update erasure set state = ?, working_on = null, blocked = '' where epoch = ?", (state.value, epoch)
            )
            connection.execute("insert into erasure_step values (?, ?, ?)", (epoch, state.value, now.isoformat()))
            _merge(connection, epoch, {state.value: dict(facts)} if facts else {})

    def fall_back(self, epoch: str, state: ErasureState) -> None:
        """The scan found something: work goes on from this earlier state."""
        with self.control.connect() as connection:
            connection.execute("update erasure set state = ?, working_on = null where epoch = ?", (state.value, epoch))

    def block(self, epoch: str, why: str) -> None:
        """Say what keeps the deletion from going on; it is tried again at every motor's turn."""
        with self.control.connect() as connection:
            connection.execute("update erasure set blocked = ? where epoch = ?", (why, epoch))

    def facts(self, epoch: str) -> dict[str, Any]:
        with self.control.connect() as connection:
            row = connection.execute("select facts from erasure where epoch = ?", (epoch,)).fetchone()
        return json.loads(row[0]) if row else {}

    def remember(self, epoch: str, name: str, facts: Mapping[str, Any]) -> None:
        """Keep facts that belong to no state of their own."""
        with self.control.connect() as connection:
            _merge(connection, epoch, {name: dict(facts)})

    def steps(self, epoch: str) -> list[tuple[ErasureState, datetime]]:
        """Every state with the time it was reached; a fall back shows as a state reached again."""
        with self.control.connect() as connection:
            rows = connection.execute(
                "select state, reached_at from erasure_step where epoch = ? order by rowid", (epoch,)
            ).fetchall()
        return [(ErasureState(state), datetime.fromisoformat(at)) for state, at in rows]

    def clock(self, now: datetime) -> datetime:
        """The later of now and every time seen before: a clock set back stretches no deadline (W3)."""
        with self.control.connect() as connection:
            row = connection.execute("select last_seen_at from clock").fetchone()
            seen = max(now, datetime.fromisoformat(row[0])) if row else now
            connection.execute("insert or replace into clock values (0, ?)", (seen.isoformat(),))
        return seen


def _present(connection: sqlite3.Connection, epoch: str) -> Erasure:
    found = read_erasure(connection, epoch)
    if found is None:
        raise Refused(NOTHING_WITHDRAWN)
    return found


def _merge(connection: sqlite3.Connection, epoch: str, facts: Mapping[str, Any]) -> None:
    row = connection.execute("select facts from erasure where epoch = ?", (epoch,)).fetchone()
    merged = json.loads(row[0]) | dict(facts)
    connection.execute("update erasure set facts = ? where epoch = ?", (json.dumps(merged, sort_keys=True), epoch))
