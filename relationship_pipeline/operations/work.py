"""What a piece of work carries: its settings and where its progress lines go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
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
    """The settings of this run and where its progress lines go. Lines hold months and counts, never a person."""

    settings: Settings
    log: Report

    def report(self, line: str) -> None:
        self.log(line)
        if (watcher := _watcher.get()) is not None:
            watcher(line)

    @property
    def ledger(self) -> ControlLedger:
        return ControlLedger(self.settings.layout)


def within_epoch(operation: Callable[Concatenate[Work, P], T]) -> Callable[Concatenate[Work, P], T]:
    """An operation that works in the tree of the consent's epoch: the process is registered while it does, so that a
    deletion can end it (W3). Raises ConsentRefused before anything else."""

    @wraps(operation)
    def registered_operation(work: Work, *args: P.args, **kwargs: P.kwargs) -> T:
        from relationship_pipeline.erasure.workers import registered

        epoch = work.ledger.require(Purpose.DERIVE).epoch
        with registered(work.settings.layout, epoch, operation.__name__):
            return operation(work, *args, **kwargs)

    return registered_operation
