"""What one asset or command does, in plain functions: check consent, take the lock, call the rooms in order.

Knows neither Dagster nor the command line; both call this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    from relationship_pipeline.lake.manifest import Manifest

Report = Callable[[str], None]

_watcher: ContextVar[Report | None] = ContextVar("watcher", default=None)


@contextmanager
def watch_progress(report: Report) -> Iterator[None]:
    """Also send progress lines of work done in this context to `report` (the terminal, while a job runs in process)."""
    token = _watcher.set(report)
    try:
        yield
    finally:
        _watcher.reset(token)


@dataclass(frozen=True)
class Work:
    """The settings of this run and where its progress lines go."""

    settings: Settings
    log: Report

    def report(self, line: str) -> None:
        self.log(line)
        if (watcher := _watcher.get()) is not None:
            watcher(line)

    @property
    def ledger(self) -> ControlLedger:
        return ControlLedger(self.settings.layout)


def refresh_months(settings: Settings, now: datetime) -> list[str]: ...
def read_directory(work: Work) -> Manifest: ...
def read_crm(work: Work) -> Mapping[str, int]: ...
def collect_emails(work: Work, month: str) -> Manifest: ...
def collect_meetings(work: Work, month: str) -> Manifest: ...
def collect_planned_meetings(work: Work) -> Manifest: ...
def derive_interactions(work: Work, month: str) -> Manifest: ...
def build_kpis(work: Work) -> Mapping[str, int]: ...
def build_health(work: Work) -> Mapping[str, int]: ...
def build_who_knows_whom(work: Work) -> Mapping[str, int]: ...
def build_contact_graph(work: Work) -> Mapping[str, int]: ...
def publish(work: Work) -> Mapping[str, int]: ...
def build_report(work: Work) -> list[str]: ...
def make_backup(work: Work) -> Mapping[str, Any]: ...
