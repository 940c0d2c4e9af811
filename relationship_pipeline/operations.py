"""What one asset or command does, in plain functions: check consent, take the lock, call the rooms in order.

Knows neither Dagster nor the command line; both call this. Rooms that need Arrow are imported where they are used: Dagster
imports this module each time it loads the code location (performance.md P9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.enforcement import groups_needed, read_rules, record_memberships
from relationship_pipeline.consent.fence import locked
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentRecord, Purpose, refusal
from relationship_pipeline.domain.months import month_end, month_of, month_range, months_due
from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.manifest import Manifest, read_manifest
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.settings import Settings, SourceKind
from relationship_pipeline.sources.base import ReadScope, Source
from relationship_pipeline.sources.demo import generate, read_demo

if TYPE_CHECKING:
    from relationship_pipeline.lake.collect import Collection

Report = Callable[[str], None]

PLANNED_AHEAD = timedelta(days=92)
"""B4: how far `planned_meetings` looks past the running month."""

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


def refresh_months(settings: Settings, now: datetime) -> list[str]:
    """The months a refresh at `now` reads (B3), oldest first; empty without a consent that allows collecting."""
    record = ControlLedger(settings.layout).current()
    if record is None or refusal(record, Purpose.COLLECT) is not None:
        return []
    epoch = settings.layout.epoch(record.epoch)
    landed = {}
    for month in month_range(record.first_month, month_of(now)):
        manifest = read_manifest(epoch.month("email", month))
        if manifest is not None:
            landed[month] = manifest.created_at
    return months_due(now, landed, record.first_month)


def read_directory(work: Work) -> Manifest:
    """Read the directory now and commit it with a dated snapshot of the groups that matter (O1)."""
    return _Reading(work, work.ledger.require(Purpose.COLLECT)).directory_manifest


def read_crm(work: Work) -> Mapping[str, int]:
    """Read the CRM folder; row counts by table."""
    record = work.ledger.require(Purpose.COLLECT)
    return {}


def collect_emails(work: Work, month: str) -> Manifest:
    """Read one month of emails and commit it. Raises ConsentRefused, BadInput, Refused, PipelineError (disk full)."""
    from relationship_pipeline.lake import collect as lake_collect

    reading = _Reading(work, _require_window(work, month))
    staged = reading.source.stage_emails(month, reading.scope, reading.stage, reading.checkpoint, work.report)
    manifest = lake_collect.collect_emails(reading.collection, month, staged)
    work.report(
        f"{month}: {manifest.quality['distinct_emails']:,} emails from {manifest.quality['copies_read']:,} copies"
    )
    return manifest


def collect_meetings(work: Work, month: str) -> Manifest:
    """Read one month of meetings and commit it."""
    from relationship_pipeline.lake import collect as lake_collect

    reading = _Reading(work, _require_window(work, month))
    staged = reading.source.stage_meetings(month, reading.scope, reading.stage, reading.checkpoint, work.report)
    return lake_collect.collect_meetings(reading.collection, month, staged)


def collect_planned_meetings(work: Work) -> Manifest:
    """Read the meetings of the 92 days after the running month and replace what was planned before (B4)."""
    from relationship_pipeline.lake import collect as lake_collect

    reading = _Reading(work, work.ledger.require(Purpose.COLLECT))
    start = month_end(month_of(work.settings.now()))
    staged = reading.source.stage_planned_meetings(
        start, start + PLANNED_AHEAD, reading.scope, reading.stage, reading.checkpoint, work.report
    )
    return lake_collect.collect_planned_meetings(reading.collection, staged, start, start + PLANNED_AHEAD)


class _Reading:
    """One piece of collection under one consent: source, directory, rules and fence, read now."""

    def __init__(self, work: Work, record: ConsentRecord) -> None:
        from relationship_pipeline.lake.collect import Collection
        from relationship_pipeline.lake.directory import store_directory

        settings, layout = work.settings, work.settings.layout
        self.epoch = layout.epoch(record.epoch)
        self.stage = self.epoch.stage
        self.checkpoint = partial(work.ledger.require, Purpose.COLLECT, record.epoch)
        fence = partial(work.ledger.commit_fence, record.epoch, Purpose.COLLECT)
        self.source = open_source(settings, self.epoch)
        groups = groups_needed(layout, record.epoch, settings)
        with locked(layout.work_lock("directory")):
            directory = self.source.read_directory(groups)
            record_memberships(layout, record.epoch, directory, groups)
            directory, self.directory_manifest = store_directory(self.epoch, directory, fence)
        rules = read_rules(layout, record.epoch, directory, settings, datetime.now(UTC))
        self.scope = ReadScope(rules.readable_mailboxes)
        self.collection: Collection = Collection(
            layout=layout, epoch=record.epoch, rules=rules, directory=directory, settings=settings, fence=fence
        )


def open_source(settings: Settings, epoch: EpochLayout) -> Source:
    """The source that the settings name."""
    from relationship_pipeline.sources.data_connect import DataConnectSource

    folder = settings.data_connect_folder
    if settings.source is SourceKind.DEMO:
        tenant = read_demo(settings.layout.demo)
        if tenant is None:
            raise BadInput("there is no demo tenant here yet: run `relationship-pipeline demo`")
        with locked(settings.layout.work_lock("demo")):
            generate(tenant, epoch.tmp / "demo")
        folder = epoch.tmp / "demo" / "export"
    return DataConnectSource(
        folder,
        spill=epoch.spill,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        on_bad_file=settings.data_connect.on_bad_file,
        opt_out_attribute=settings.opt_out.attribute,
        free_mail_domains=settings.free_mail_domains,
    )


def _require_window(work: Work, month: str) -> ConsentRecord:
    """The live consent, if the month lies in its window (B1)."""
    record = work.ledger.require(Purpose.COLLECT)
    running = month_of(work.settings.now())
    if not record.first_month <= month <= running:
        raise BadInput(
            f"{month} is outside the collection window: this consent covers {record.first_month} to {running}"
        )
    return record


def derive_interactions(work: Work, month: str) -> Manifest: ...
def build_kpis(work: Work) -> Mapping[str, int]: ...
def build_health(work: Work) -> Mapping[str, int]: ...
def build_who_knows_whom(work: Work) -> Mapping[str, int]: ...
def build_contact_graph(work: Work) -> Mapping[str, int]: ...
def publish(work: Work) -> Mapping[str, int]: ...
def build_report(work: Work) -> list[str]: ...
def make_backup(work: Work) -> Mapping[str, Any]: ...
