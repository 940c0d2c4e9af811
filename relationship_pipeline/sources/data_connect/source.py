"""The source itself: the directory, and the staged copies of a month."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.months import add_months, month_of, month_range
from relationship_pipeline.durable import make_folder
from relationship_pipeline.errors import BadInput, TryAgain
from relationship_pipeline.schemas import DOMAINS, GROUP_MEMBERS, USER_ADDRESSES, USERS
from relationship_pipeline.sources.base import STAGE_WENT, Checkpoint, Directory, Progress, ReadScope, Staged
from relationship_pipeline.sources.data_connect.directory import directory_tables, group_members
from relationship_pipeline.sources.data_connect.files import ExportFile, find_datasets, mail_files, rows, written_at
from relationship_pipeline.sources.data_connect.folders import FolderClasses
from relationship_pipeline.sources.data_connect.shapes import UserRow
from relationship_pipeline.sources.data_connect.split import (
    NO_MONTH,
    STAGE_FOLDER,
    Room,
    Split,
    Wanted,
    drop_files,
    month_files,
    split_file,
    split_lock,
    stage_key,
    sweep_stale,
    usable_split,
)


class DataConnectSource:
    """Reads an export folder. `opt_out_attribute` names the directory attribute of O2; `free_mail_domains` never count
    as internal (N2); `on_bad_file` is `stop` or `partial` (interfaces.md 2)."""

    name = "data_connect"

    def __init__(
        self,
        folder: Path,
        *,
        spill: Path,
        memory_limit: str | None = None,
        threads: int | None = None,
        on_bad_file: str = "stop",
        opt_out_attribute: str | None = None,
        free_mail_domains: Collection[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._room = Room(spill, memory_limit, threads)
        self._on_bad_file = on_bad_file
        self._opt_out_attribute = opt_out_attribute
        self._free_mail_domains = frozenset(free_mail_domains)
        self._clock = clock

    def written_at(self) -> datetime:
        """See Source."""
        return written_at(find_datasets(self._folder))

    def read_directory(self, group_ids: Collection[str]) -> Directory:
        """Users and their addresses from User_v1, members of the groups from GroupMembers_v0, nested ones included, as of
        when that was written: what changed since is not in it (O1).

        Raises BadInput when User_v1 is missing, when a file cannot be read, and when groups are asked for that
        GroupMembers_v0 does not list (O1)."""
        import pyarrow as pa

        datasets = find_datasets(self._folder)
        users = [row for file in datasets["user"] for row in rows(file, UserRow)]
        tables = directory_tables(users, self._opt_out_attribute, self._free_mail_domains)
        members = group_members(datasets["groupmembers"], group_ids)
        written = [file.written_at for file in datasets["groupmembers"]] if group_ids else []
        now = self._clock()
        return Directory(
            read_at=now,
            members_at=min([now, *written]),
            users=pa.Table.from_pylist(tables.users, schema=USERS),
            addresses=pa.Table.from_pylist(tables.addresses, schema=USER_ADDRESSES),
            group_members=pa.Table.from_pylist(members, schema=GROUP_MEMBERS),
            domains=pa.Table.from_pylist([{"domain": domain} for domain in sorted(tables.domains)], schema=DOMAINS),
        )

    def stage_emails(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        datasets = find_datasets(self._folder)
        files = mail_files(datasets)
        not_provided = () if datasets["mailfolder"] else ("MailFolder_v0",)
        folders = FolderClasses(datasets["mailfolder"])
        splits, bad = self._split_all(files, stage, folders, [month], scope, checkpoint, progress)
        return _staged(splits, bad, [month], (month, add_months(month, 1)), scope, not_provided, written_at(datasets))

    def stage_meetings(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        return self._stage_calendar([month], (month, add_months(month, 1)), scope, stage, checkpoint, progress)

    def stage_planned_meetings(
        self, start: datetime, end: datetime, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """The months that [start, end) touches, whole; the collection step cuts them to the interval."""
        months = month_range(month_of(start), month_of(end - timedelta(microseconds=1)))
        days = (_day(start), _day(end))
        return self._stage_calendar(months, days, scope, stage, checkpoint, progress)

    def _stage_calendar(
        self,
        months: list[str],
        periods: tuple[str, str],
        scope: ReadScope,
        stage: Path,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> Staged:
        datasets = find_datasets(self._folder)
        files = [*datasets["calendarview"], *datasets["event"]]
        if not files:
            return Staged(files=(), not_provided=("CalendarView_v0", "Event_v1"), read_at=written_at(datasets))
        not_provided = () if datasets["calendarview"] else ("CalendarView_v0",)
        splits, bad = self._split_all(files, stage, None, months, scope, checkpoint, progress)
        return _staged(splits, bad, months, periods, scope, not_provided, written_at(datasets))

    def _split_all(
        self,
        files: list[ExportFile],
        stage: Path,
        folders: FolderClasses | None,
        months: list[str],
        scope: ReadScope,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> tuple[list[Split], list[str]]:
        """Split every file whose split has not what these months need; returns the splits and the titles of files that
        cannot be read."""
        home = make_folder(stage / STAGE_FOLDER)
        keys = {str(file.path): stage_key(file, folders) for file in files}
        sweep_stale(home, keys)
        open_months = None if scope.open_months is None else frozenset(scope.open_months)
        wanted = Wanted(months, frozenset(scope.mailboxes), open_months)
        splits, bad = [], []
        for number, file in enumerate(files, 1):
            checkpoint()
            key = keys[str(file.path)]
            try:
                with locked(split_lock(home, key)):
                    split = usable_split(home, key, wanted)
                    if split is None:
                        progress(f"reading export file {number} of {len(files)}")
                        split_file(file, home, key, folders, wanted, self._room, self._clock())
                        split = usable_split(home, key, wanted)
            except BadInput as error:
                if self._on_bad_file == "stop":
                    raise
                progress(str(error))
                bad.append(file.title)
                continue
            if split is None:
                raise TryAgain(STAGE_WENT)
            splits.append(split)
        return splits, bad


def _staged(
    splits: list[Split],
    bad: list[str],
    months: list[str],
    periods: tuple[str, str],
    scope: ReadScope,
    not_provided: tuple[str, ...],
    written: datetime,
) -> Staged:
    """What the splits hold of the months, and what they only counted in `periods`, [first, last). Rejected rows without any
    usable time are counted in the newest month that the export holds, so that they are seen once.

    An export may be of some days only. A month that the lake holds and the export does not is not covered; where the
    export begins within the month, only what was received since its first row counts as read again."""
    files = [path for split in splits for path in month_files(split, months)]
    held = {month for _, record in splits for month in (*record.months, *record.rejected) if month != NO_MONTH}
    newest = max((month for _, record in splits for month in record.months), default=None)
    is_first = scope.committed is not None and min(held, default=None) == months[0]
    firsts = [record.months[month] for _, record in splits for month in months if month in record.months]
    begins = min(firsts, default=None) if is_first else None
    rejected: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    states: dict[str, set[str]] = {}
    for _, record in splits:
        for month in months:
            rejected.update(record.rejected.get(month, {}))
        if newest in months:
            rejected.update(record.rejected.get(NO_MONTH, {}))
        for mailbox, counts in record.unread.items():
            unread[mailbox] += sum(counts[period] for period in counts if periods[0] <= period < periods[1])
        for mailbox, state in record.mailboxes.items():
            states.setdefault(mailbox, set()).add(state)
    mailboxes = frozenset(scope.mailboxes)
    incomplete = {mailbox for mailbox in mailboxes if "incomplete" in states.get(mailbox, ())}
    has_summaries = any(state - {"rows"} for state in states.values())
    proofs = {"complete"} if has_summaries else {"rows"}
    done = {mailbox for mailbox in mailboxes - incomplete if states.get(mailbox, set()) & proofs}
    missing = mailboxes - done - incomplete
    reasons = [f"export file cannot be read: {title}" for title in bad]
    if incomplete:
        reasons.append(f"the export is incomplete for {len(incomplete)} mailboxes")
    if has_summaries and missing:
        reasons.append(f"the export has no summary of {len(missing)} mailboxes")
    return Staged(
        files=tuple(files),
        rejected=dict(rejected),
        unread=dict(+unread),
        mailboxes={
            "expected": len(mailboxes),
            "done": len(done),
            "missing": len(missing),
            "refused": len(incomplete),
        },
        read_mailboxes=frozenset() if bad else frozenset(done),
        partial_reasons=tuple(reasons),
        not_provided=not_provided,
        read_since=dict.fromkeys(done, begins) if begins is not None and not bad else {},
        is_covered=bool(scope.committed is None or bad or any(month in held for month in months)),
        read_at=written,
        settle=partial(_drop_settled, splits, months, scope),
    )


def _drop_settled(splits: list[Split], months: list[str], scope: ReadScope, content_id: str) -> None:
    """Nothing reads a month again that has been committed and is not open."""
    settled = [] if scope.open_months is None else [month for month in months if month not in scope.open_months]
    for split in splits:
        drop_files(month_files(split, settled))


def _day(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d")
