"""What every build of insights is given: where the epoch lies, the rules of the day, and the fence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relationship_pipeline.lake.engine import open_engine
from relationship_pipeline.lake.writer import CommitFence
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class BuildContext:
    """Arrow tables: `people` (address, user_id, in_scope, may_introduce, display_name, primary_address, hidden),
    `absences` (user_id, since, until; None for nobody's), `internal_domains` (domain), `hidden_addresses` (address),
    `hidden_domains` (domain), `tie_marks` (schemas.TIE_MARKS; None for none), and `crm` by the names and schemas of
    schemas.CRM (missing kinds are empty). `fence` is entered around every commit. `progress` takes one line for people,
    without personal data. `lock` is held, by name, by whoever writes a month's interactions: two runs at once do the work
    once."""

    layout: EpochLayout
    settings: Settings
    people: pa.Table
    internal_domains: pa.Table
    hidden_addresses: pa.Table
    hidden_domains: pa.Table
    fence: CommitFence
    absences: pa.Table | None = None
    tie_marks: pa.Table | None = None
    crm: Mapping[str, pa.Table] = field(default_factory=dict)
    progress: Callable[[str], None] = _silent
    lock: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext()

    @property
    def marked_ties(self) -> pa.Table:
        from relationship_pipeline.schemas import TIE_MARKS

        return TIE_MARKS.empty_table() if self.tie_marks is None else self.tie_marks

    def engine(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return open_engine(self.layout.spill, memory_limit=self.settings.memory_limit, threads=self.settings.threads)
