"""Microsoft Graph as a Source (sources/base.py)."""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from relationship_pipeline.domain.months import month_end, month_start
from relationship_pipeline.errors import TryAgain
from relationship_pipeline.schemas import STAGED_EMAIL, STAGED_MEETING
from relationship_pipeline.sources.base import Checkpoint, Directory, Progress, ReadScope, Staged
from relationship_pipeline.sources.graph.access import open_graph
from relationship_pipeline.sources.graph.auth import CALENDAR_ROLES, MAIL_ROLES
from relationship_pipeline.sources.graph.calendar import CalendarReader
from relationship_pipeline.sources.graph.client import PATIENT, Patience
from relationship_pipeline.sources.graph.crawl import Crawl, MailboxRecord, Outcome
from relationship_pipeline.sources.graph.directory import read_directory
from relationship_pipeline.sources.graph.faults import PASSING, GraphFault
from relationship_pipeline.sources.graph.lanes import Lanes
from relationship_pipeline.sources.graph.mail import MailReader
from relationship_pipeline.sources.graph.stage import CALENDAR_LIFETIME, Plan, Stage
from relationship_pipeline.sources.graph.state import Coverage, CrawlState

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings

STATE = "graph.sqlite"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class GraphSource:
    """Reads a tenant through Microsoft Graph. `now` closes the running month's window. `opt_out_attribute` is the
    directory attribute of O2."""

    name = "graph"

    def __init__(
        self,
        settings: GraphSettings,
        *,
        opt_out_attribute: str | None = None,
        patience: Patience = PATIENT,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._settings = settings
        self._opt_out_attribute = opt_out_attribute
        self._patience = patience
        self._now = now

    def written_at(self) -> None:
        """See Source."""

    def read_directory(self, group_ids: Collection[str]) -> Directory:
        """See Source. Raises TryAgain for a fault that may pass: every collection begins here, and would be off until
        the next day for a minute's trouble."""

        async def read() -> Directory:
            async with open_graph(self._settings, self._patience) as client:
                return await read_directory(client, group_ids, self._opt_out_attribute)

        try:
            return asyncio.run(read())
        except GraphFault as fault:
            if fault.kind in PASSING:
                raise TryAgain(f"the directory cannot be read now: {fault}") from None
            raise

    def stage_emails(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """See Source. Raises ConsentRefused, TokenRefused, Refused, PipelineError; what was staged stays and the next
        call goes on from there."""
        with _rare_garbage_collection():
            return asyncio.run(self._stage_emails(month, scope, stage, checkpoint, progress))

    async def _stage_emails(
        self, month: str, scope: ReadScope, folder: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        checkpoint()
        start, end, now = month_start(month), month_end(month), self._now().replace(microsecond=0)
        scratch = folder / f"graph-email-{month}"
        stage = Stage(scratch, STAGED_EMAIL, checkpoint)
        state = CrawlState(folder / STATE)
        held = state.coverage(month, scope.committed)
        stage.sweep_settled(max((coverage.read_at for coverage in held.values()), default=None))
        async with open_graph(self._settings, self._patience, require=MAIL_ROLES) as client:
            reader = MailReader(
                client, stage, state, start=start, end=end, now=now, page_size=self._settings.page_size, held=held
            )
            crawl = Crawl(
                client,
                stage,
                reader,
                Lanes(folder),
                what=f"mail of {month}",
                now=now,
                checkpoint=checkpoint,
                progress=progress,
            )
            plan, records = await crawl.run(scope.mailboxes, min(end, now))
        done = {mailbox for mailbox, record in records.items() if record.outcome is Outcome.DONE}
        since = {mailbox: reader.since(mailbox, plan) for mailbox in done}
        coverage = {mailbox: reader.coverage(mailbox, plan, records[mailbox].tally) for mailbox in done}
        coverage.update((mailbox, held[mailbox]) for mailbox in records if mailbox in held and mailbox not in done)
        return _staged(
            stage.parts,
            records,
            read_since={mailbox: instant for mailbox, instant in since.items() if instant is not None},
            read_at=_taken_up(plan, now),
            settle=partial(_settle, state, scratch, month, coverage),
        )

    def stage_meetings(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """See Source."""
        what, scratch = f"meetings of {month}", stage / f"graph-meetings-{month}"
        return asyncio.run(
            self._stage_calendar(what, month_start(month), month_end(month), scope, scratch, checkpoint, progress)
        )

    def stage_planned_meetings(
        self, start: datetime, end: datetime, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """See Source."""
        scratch = stage / "graph-planned-meetings"
        return asyncio.run(self._stage_calendar("planned meetings", start, end, scope, scratch, checkpoint, progress))

    async def _stage_calendar(
        self,
        what: str,
        start: datetime,
        end: datetime,
        scope: ReadScope,
        scratch: Path,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> Staged:
        checkpoint()
        now = self._now().replace(microsecond=0)
        stage = Stage(scratch, STAGED_MEETING, checkpoint, CALENDAR_LIFETIME)
        async with open_graph(self._settings, self._patience, require=CALENDAR_ROLES) as client:
            reader = CalendarReader(client, stage, start, end)
            crawl = Crawl(
                client,
                stage,
                reader,
                Lanes(scratch.parent),
                what=what,
                now=now,
                checkpoint=checkpoint,
                progress=progress,
            )
            plan, records = await crawl.run(scope.mailboxes, end)
        return _staged(stage.parts, records, read_at=_taken_up(plan, now), settle=partial(_discard, scratch))


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """A page makes thousands of short-lived lists and no cycles; at Python's usual pace the collector looks at them, and
    at everything imported before, again and again: about a tenth of the crawl's CPU."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _taken_up(plan: Plan, now: datetime) -> datetime | None:
    """When a crawl began that was broken off and is taken up now."""
    return plan.begun_at if plan.begun_at < now else None


def _settle(state: CrawlState, scratch: Path, month: str, coverage: Mapping[str, Coverage], content_id: str) -> None:
    state.settle(month, content_id, coverage)
    shutil.rmtree(scratch, ignore_errors=True)


def _discard(scratch: Path, content_id: str) -> None:
    shutil.rmtree(scratch, ignore_errors=True)


def _staged(
    files: Sequence[Path],
    records: Mapping[str, MailboxRecord],
    *,
    settle: Callable[[str], None],
    read_at: datetime | None,
    read_since: Mapping[str, datetime] | None = None,
) -> Staged:
    outcomes = Counter(record.outcome.value for record in records.values())
    rejected: Counter[str] = Counter()
    for record in records.values():
        rejected.update(record.rejected)
        if record.corrupt:
            rejected["corrupt_item"] += record.corrupt
    return Staged(
        files=tuple(files),
        rejected=dict(rejected),
        mailboxes={"expected": len(records), **{outcome.value: outcomes[outcome.value] for outcome in Outcome}},
        read_mailboxes=frozenset(mailbox for mailbox, record in records.items() if record.outcome is Outcome.DONE),
        expected_copies=sum(record.tally for record in records.values()),
        walked_copies=sum(record.walked for record in records.values()),
        partial_reasons=_partial_reasons(records),
        read_since=read_since or {},
        read_at=read_at,
        settle=settle,
    )


def _partial_reasons(records: Mapping[str, MailboxRecord]) -> tuple[str, ...]:
    """A mailbox that should have been read and was not makes the month partial; one that does not exist does not."""
    parked = Counter(record.reason for record in records.values() if record.outcome is Outcome.PARKED)
    refused = sum(record.outcome is Outcome.REFUSED for record in records.values())
    corrupt = sum(record.corrupt for record in records.values())
    reasons = [f"{count} mailboxes could not be read whole ({code})" for code, count in sorted(parked.items())]
    if refused:
        reasons.append(f"{refused} mailboxes may not be read by the application")
    if corrupt:
        reasons.append(f"{corrupt} items cannot be delivered by the service")
    return tuple(reasons)
