"""Reading the company's sources under consent: the directory, one month of emails or meetings, the meetings ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from relationship_pipeline.consent.enforcement import (
    Rules,
    groups_needed,
    member_addresses,
    read_rules,
    recogniser,
    record_memberships,
    rules_fence,
)
from relationship_pipeline.consent.fence import locked, only_one
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import first_month
from relationship_pipeline.domain.addresses import domain_of, lies_in
from relationship_pipeline.domain.consent import ConsentRecord, Purpose, refusal
from relationship_pipeline.domain.months import (
    SEARCH_EVERY,
    is_settled,
    month_of,
    month_range,
    months_due,
    open_months,
    planned_until,
)
from relationship_pipeline.errors import BadInput, BadLake, TryAgain
from relationship_pipeline.lake.manifest import Manifest, read_manifest
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.operations.work import Work, within_epoch
from relationship_pipeline.settings import Settings, SourceKind
from relationship_pipeline.sources.base import STAGE_WENT, Directory, ReadScope, Source
from relationship_pipeline.sources.demo import read_demo, write_crm_folder

if TYPE_CHECKING:
    from relationship_pipeline.lake.collect import Collection

STALE = timedelta(hours=36)
"""How old an export may be before a reading says so: one a day, and half a day to write and copy it."""

BEHIND = timedelta(hours=1)
"""How long ago a crawl may have begun that was broken off and taken up again, before what came since is read at once and not by
the next run."""

EMAIL, MEETINGS, PLANNED, CRM_TABLE = "email", "meetings", "planned_meetings", "crm_records"


def refresh_months(settings: Settings, now: datetime) -> list[str]:
    """The months a refresh at `now` reads (B3), oldest first; empty without a consent that allows collecting."""
    record = ControlLedger(settings.layout).current()
    if record is None or refusal(record, Purpose.COLLECT) is not None:
        return []
    first = max(record.first_month, first_month(settings))
    landed = landed_months(settings.layout.epoch(record.epoch), EMAIL, month_range(first, month_of(now)))
    # An export folder says by itself what it holds of a month; a tenant must be asked.
    search_every = None if settings.source is SourceKind.DATA_CONNECT else SEARCH_EVERY
    return months_due(now, landed, first, search_every=search_every)


def landed_months(
    epoch: EpochLayout, table: str, months: Iterable[str], *, skip_damaged: bool = False
) -> dict[str, datetime]:
    """Those of the months whose table was committed, with the instant as of which each shows its source. A manifest that
    cannot be read raises BadLake, or, with `skip_damaged`, counts as none."""
    landed = {}
    for month in months:
        try:
            manifest = read_manifest(epoch.month(table, month))
        except BadLake:
            if not skip_damaged:
                raise
            continue
        if manifest is not None:
            landed[month] = manifest.shows_until
    return landed


@within_epoch
def read_directory(work: Work) -> Manifest:
    """Read the directory now and commit it with a dated snapshot of the groups that matter (O1). Whoever is found to have
    opted out with their existing data is taken out of the lake, and of what is published, at once (O2): the run may end
    before it publishes, and no later one would find anything of theirs to take out."""
    from relationship_pipeline.erasure.person import erase_due_people
    from relationship_pipeline.operations.insights import build_everything

    record = work.ledger.require(Purpose.COLLECT)
    reading = Reading(work, record)
    if erase_due_people(work.settings, record.epoch, reading.rules):
        work.report("existing data of people who opted out was erased; publishing without it")
        build_everything(work)
    return reading.directory_manifest


@within_epoch
def read_crm(work: Work) -> Mapping[str, int]:
    """Read the CRM folder, where there is one, and commit it; rows by kind. Rows left out are counted by reason in the
    manifest's quality record. A demo's folder is generated with its tenant."""
    from relationship_pipeline.lake.tables import store_tables
    from relationship_pipeline.sources.crm_files import FILES, read_crm_files

    settings = work.settings
    record = work.ledger.require(Purpose.COLLECT)
    epoch = settings.layout.epoch(record.epoch)
    folder = settings.crm_folder
    if settings.crm_dir is not None and not folder.is_dir():
        work.report("the setting crm_dir names no folder: nothing of a CRM is read")
    fence = partial(work.ledger.commit_fence, record.epoch, Purpose.COLLECT)
    # Two runs at once: the one that reads last also commits last.
    with locked(settings.layout.table_lock(CRM_TABLE)):
        tenant = read_demo(settings.layout.demo) if settings.source is SourceKind.DEMO else None
        if tenant is not None and settings.crm_dir is None:
            folder = epoch.tmp / "demo" / "crm"
            write_crm_folder(tenant, folder)
        crm = read_crm_files(folder)
        if crm.unread:
            work.report(
                f"{crm.unread} files of the CRM folder are not read: their names are none of {', '.join(FILES)}"
            )
        rejected = {f"{kind}: {reason}": count for (kind, reason), count in crm.rejected.items()}
        store_tables(epoch, CRM_TABLE, crm.tables, fence, quality={"rejected": rejected})
    for reason, count in rejected.items():
        work.report(f"CRM rows left out, {reason}: {count}")
    return {kind: table.num_rows for kind, table in crm.tables.items()}


@within_epoch
def collect_emails(work: Work, month: str) -> Manifest:
    """Read one month of emails and commit it. Raises ConsentRefused, BadInput, Refused, PipelineError (disk full)."""
    from relationship_pipeline.lake import collect

    record = _require_window(work, month)
    with _reading(work, record, EMAIL, month) as reading:

        def read() -> Manifest:
            scope = reading.scope(EMAIL, month)
            staged = reading.source.stage_emails(month, scope, reading.stage, reading.checkpoint, work.report)
            manifest = collect.collect_emails(reading.collection, month, staged)
            staged.settle(manifest.content_id)
            return manifest

        manifest = read()
        if reading.is_behind(manifest, month):
            work.report(f"{month}: a crawl that was broken off is committed; reading what came since")
            manifest = read()
    work.report(
        f"{month}: {manifest.quality['distinct_emails']:,} emails from {manifest.quality['copies_read']:,} copies"
    )
    if reading.written_at is not None and manifest.created_at - manifest.shows_until > STALE:
        work.report(f"the export is of {manifest.shows_until:%Y-%m-%d %H:%M} UTC: nothing younger is known")
    return manifest


@within_epoch
def collect_meetings(work: Work, month: str) -> Manifest:
    """Read one month of meetings and commit it."""
    from relationship_pipeline.lake import collect

    record = _require_window(work, month)
    with _reading(work, record, MEETINGS, month) as reading:
        scope = reading.scope(MEETINGS, month)
        staged = reading.source.stage_meetings(month, scope, reading.stage, reading.checkpoint, work.report)
        manifest = collect.collect_meetings(reading.collection, month, staged)
        staged.settle(manifest.content_id)
    return manifest


@within_epoch
def collect_planned_meetings(work: Work) -> Manifest:
    """Read the meetings of the 92 days after the running month and replace what was planned before (B4)."""
    from relationship_pipeline.lake import collect

    record = work.ledger.require(Purpose.COLLECT)
    with _reading(work, record, PLANNED) as reading:
        start = work.settings.now()
        end = planned_until(start)
        scope = ReadScope(reading.rules.readable_mailboxes, open_months=reading.open_months(MEETINGS))
        staged = reading.source.stage_planned_meetings(
            start, end, scope, reading.stage, reading.checkpoint, work.report
        )
        manifest = collect.collect_planned_meetings(reading.collection, start, end, staged)
        staged.settle(manifest.content_id)
    return manifest


@contextmanager
def _reading(work: Work, record: ConsentRecord, table: str, month: str | None = None) -> Iterator[Reading]:
    """A reading of a table's month, which no other run reads meanwhile: two would write over each other's parts, until what
    was staged is cleared away. Raises Refused when another run reads it, and TryAgain when what is staged went: erasing
    somebody takes it away from whoever works on it, and so does a run that finds an export file replaced."""
    import duckdb

    what = f"{table} of {month}" if month else table
    stage = work.settings.layout.epoch(record.epoch).stage
    with only_one(work.settings.layout.table_lock(f"reading-{table}", month), what):
        try:
            yield Reading(work, record)
        except (FileNotFoundError, duckdb.IOException) as error:
            text = str(error)
            if str(stage) in text and any(gone in text for gone in ("No such file", "No files found")):
                raise TryAgain(STAGE_WENT) from error
            raise


class Reading:
    """One piece of collection under one consent: source, directory, rules and fence, read now."""

    def __init__(self, work: Work, record: ConsentRecord) -> None:
        from relationship_pipeline.lake.collect import Collection
        from relationship_pipeline.lake.directory import store_directory

        settings, layout = work.settings, work.settings.layout
        self.settings, self.record = settings, record
        self.epoch = layout.epoch(record.epoch)
        self.stage = self.epoch.stage
        self.checkpoint = partial(_check, work.ledger, record.epoch)
        fence = partial(work.ledger.commit_fence, record.epoch, Purpose.COLLECT)
        self.source = open_source(settings, self.epoch)
        self.written_at = self.source.written_at()
        groups = groups_needed(layout, record.epoch, settings)
        with locked(layout.work_lock("directory")):
            directory = self.source.read_directory(groups)
            record_memberships(layout, record.epoch, directory, groups)
            directory, self.directory_manifest = store_directory(self.epoch, directory, fence)
        for note in self.directory_manifest.quality.get("notes", ()):
            work.report(note)
        self.rules = rules_now(settings, record.epoch, directory)
        self.collection: Collection = Collection(
            layout=layout,
            epoch=record.epoch,
            rules=self.rules,
            directory=directory,
            settings=settings,
            fence=partial(rules_fence, layout, record.epoch, self.rules.version),
            recognise=recogniser(layout, record.epoch, directory),
        )

    def scope(self, table: str, month: str) -> ReadScope:
        """The mailboxes that may be read, and which rows of the month the lake holds already; a damaged month is read
        whole again."""
        try:
            committed = open_table(self.epoch.month(table, month))
        except BadLake:
            committed = None
        return ReadScope(
            self.rules.readable_mailboxes,
            committed.content_id if committed else None,
            self.open_months(table, month),
        )

    def is_behind(self, manifest: Manifest, month: str) -> bool:
        """Whether there is more to read than what was committed just now: a crawl that began long ago, for a month that was
        open then."""
        shows = manifest.shows_until
        return self.written_at is None and self.settings.now() - shows > BEHIND and not is_settled(month, shows)

    def open_months(self, table: str, month: str | None = None) -> frozenset[str]:
        """The months that are still to be read once this reading of `month` has landed, those of planned meetings and damaged
        ones too. Where a settled month is read again, all: others may follow, and no file is to be split for each (for how
        long what is not read stays: LEFTOVER of the split)."""
        now = self.settings.now()
        known = month_range(self.record.first_month, month_of(now))
        landed = landed_months(self.epoch, table, known, skip_damaged=True)
        last = month_of(planned_until(now) - timedelta(microseconds=1))
        if month in landed and is_settled(month, landed[month]):
            return frozenset(month_range(self.record.first_month, last))
        if month:
            landed[month] = self.written_at or datetime.now(UTC)
        return frozenset(open_months(now, landed, self.record.first_month, last))


def _check(ledger: ControlLedger, epoch: str) -> None:
    ledger.require(Purpose.COLLECT, epoch)


def rules_now(settings: Settings, epoch: str, directory: Directory) -> Rules:
    """Who may be read and shown at this moment (O1-O6)."""
    tree = settings.layout.epoch(epoch)
    return read_rules(
        settings.layout,
        epoch,
        directory,
        settings,
        datetime.now(UTC),
        role_holders=_role_holders(settings, tree) if settings.scope.roles else None,
        named_elsewhere=partial(_named_by_crm, tree),
        persons=partial(persons_of_crm, settings, epoch, directory),
    )


def persons_of_crm(settings: Settings, epoch: str, directory: Directory | None) -> dict[str, frozenset[str]]:
    """Outside addresses that the CRM lists, each with all of the same person's (O6)."""
    from relationship_pipeline.insights.crm_people import addresses_of_persons
    from relationship_pipeline.lake.tables import load_tables

    loaded = load_tables(settings.layout.epoch(epoch), CRM_TABLE)
    if loaded is None or directory is None:
        return {}
    ours = member_addresses(directory)
    internal = frozenset(settings.internal_domains or directory.domains.column("domain").to_pylist())

    def is_outside(address: str) -> bool:
        return address not in ours and not lies_in(domain_of(address), internal)

    return addresses_of_persons(loaded[1], is_outside)


def _named_by_crm(epoch: EpochLayout) -> set[str]:
    """Addresses that the CRM lists, and the domains of its accounts."""
    from relationship_pipeline.insights.accounts import domain_of_website
    from relationship_pipeline.insights.crm_people import all_addresses, crm_table
    from relationship_pipeline.lake.tables import load_tables

    loaded = load_tables(epoch, CRM_TABLE)
    if loaded is None:
        return set()
    named = all_addresses(loaded[1])
    for account in crm_table(loaded[1], "accounts").to_pylist():
        named.update(account["addresses"] or ())
        if domain := domain_of_website(account["website"]):
            named.add(domain)
    return named


def _role_holders(settings: Settings, epoch: EpochLayout) -> set[str] | None:
    """Who holds a role that collection is restricted to (O3), by address or directory id; None without CRM rows that say
    so."""
    from relationship_pipeline.lake.tables import load_tables

    loaded = load_tables(epoch, CRM_TABLE)
    if loaded is None or not loaded[1]["user_roles"].num_rows:
        return None
    wanted = {role.strip().lower() for role in settings.scope.roles}
    rows = loaded[1]["user_roles"].to_pylist()
    return {row["user"].lower() for row in rows if row["role"].strip().lower() in wanted}


def open_source(settings: Settings, epoch: EpochLayout) -> Source:
    """The source that the settings name. A demo is a Graph tenant that lives in the simulator."""
    if settings.source is SourceKind.DATA_CONNECT:
        from relationship_pipeline.insights.accounts import packaged_free_mail
        from relationship_pipeline.sources.data_connect.source import DataConnectSource

        return DataConnectSource(
            settings.data_connect_folder,
            spill=epoch.spill,
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            on_bad_file=settings.data_connect.on_bad_file,
            opt_out_attribute=settings.opt_out.attribute,
            free_mail_domains=packaged_free_mail() | set(settings.free_mail_domains),
        )
    from relationship_pipeline.sources.graph.source import GraphSource

    if settings.source is SourceKind.DEMO and settings.graph.base_url is None:
        raise BadInput(
            "the demo's simulated tenant is not running: use `relationship-pipeline demo`, `backfill`, `refresh` or `dev`, "
            "which start it"
        )
    return GraphSource(settings.graph, opt_out_attribute=settings.opt_out.attribute, now=settings.now)


def _require_window(work: Work, month: str) -> ConsentRecord:
    """The live consent, if the month lies in its window (B1)."""
    record = work.ledger.require(Purpose.COLLECT)
    running = month_of(work.settings.now())
    if not record.first_month <= month <= running:
        raise BadInput(
            f"{month} is outside the collection window: this consent covers {record.first_month} to {running}"
        )
    return record
