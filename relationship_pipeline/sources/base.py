"""What a source is: something that stages one month of copies as Parquet and says what it could not read.

Sources know nothing of the lake, of consent or of Dagster. They are told which mailboxes may be read (`ReadScope`) and
asked, between units of work, to call `checkpoint` (C4), which raises when consent is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Checkpoint = Callable[[], None]
"""Raises ConsentRefused when collection must stop now; cheap enough to call between any two units of work."""

Progress = Callable[[str], None]
"""Takes one line for people, without personal data."""


STAGE_WENT = "what was read went before it was collected: somebody was erased, or the export changed; run it again"
"""Of a TryAgain: erasing somebody takes what is staged away from whoever works on it."""


@dataclass(frozen=True)
class ReadScope:
    """Which mailboxes (directory object ids) may be read at this moment (O1-O3). Sources that read mailbox by mailbox
    never ask for others; the collection step filters again.

    `committed` is the content id of the month's rows as they stand in the lake now. A source that knows it as what came
    of its own last reading may read only what is new (B3); without it the month is read whole.

    `open_months` are those that later runs read, too: of what a source finds of other months on its way it keeps nothing,
    nor of the month itself once that is settled. None: all are open.
    """

    mailboxes: Collection[str]
    committed: str | None = None
    open_months: Collection[str] | None = None


@dataclass(frozen=True)
class Directory:
    """One reading of the directory. Tables have the schemas USERS, USER_ADDRESSES, GROUP_MEMBERS and DOMAINS.
    `members_at`: as of when the group members are, where that is not `read_at` (an export is older than its reading, O1)."""

    read_at: datetime
    users: pa.Table
    addresses: pa.Table
    group_members: pa.Table
    domains: pa.Table
    members_at: datetime | None = None


@dataclass(frozen=True)
class Staged:
    """One month of one kind of copies (files of schema STAGED_EMAIL or STAGED_MEETING) and the record of the reading.

    `rejected` counts rows that could not become a copy, by reason (`not_json`, `no_item_id`, `no_received_time`,
    `impossible_date`, …). `mailboxes` counts mailboxes by outcome: `expected`, `done`, `missing`, `refused`, `gone`,
    `no_mailbox`, `parked`. `read_mailboxes` are those whose month is complete: copies held earlier from any other
    mailbox are kept (O1). `unread` counts copies that were left aside because their mailbox may not be read.
    `partial_reasons` name why the month is incomplete, empty when it is whole.

    `read_since` holds, for mailboxes of which only what is new was read (B3), the instant from which they were: copies
    held earlier from such a mailbox and received before that instant are kept, unless a staged row (before any drop
    rule) has the same item id. `is_covered` False: the source does not hold the month any more, though the lake does; what
    was collected stays as it is. `settle` is to be called with the month's new content id once it is committed: the files
    may be gone after that. `read_at`: as of when it shows the source, where that is not now: an export, or a crawl that was
    broken off and taken up again.
    """

    files: tuple[Path, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    mailboxes: Mapping[str, int] = field(default_factory=dict)
    read_mailboxes: frozenset[str] = frozenset()
    expected_copies: int | None = None
    walked_copies: int | None = None
    partial_reasons: tuple[str, ...] = ()
    not_provided: tuple[str, ...] = ()
    read_since: Mapping[str, datetime] = field(default_factory=dict)
    is_covered: bool = True
    read_at: datetime | None = None
    settle: Callable[[str], None] = field(default=lambda content_id: None, compare=False)


class Source(Protocol):
    """A place that metadata comes from. Methods raise BadInput (what, where, what to do), leaving nothing half done."""

    name: str

    def written_at(self) -> datetime | None:
        """As of when the emails of a source that does not answer by itself are; None: it tells what there is now."""

    def read_directory(self, group_ids: Collection[str]) -> Directory:
        """The users, their addresses and the members of these groups, now. A missing or unreadable group raises
        BadInput (O1), or TryAgain where that may pass."""

    def stage_emails(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """Copies received in the month, from mailboxes in scope, as Parquet files below `stage`."""

    def stage_meetings(
        self, month: str, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """Copies of meetings that start in the month."""

    def stage_planned_meetings(
        self, start: datetime, end: datetime, scope: ReadScope, stage: Path, checkpoint: Checkpoint, progress: Progress
    ) -> Staged:
        """Copies of meetings that start in [start, end): the 92 days after the running month (B4)."""
