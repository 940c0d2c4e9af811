"""One small lake over an export folder: what the tests of sources and collection drive. No consent, no Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake import collect
from relationship_pipeline.lake.manifest import Manifest, read_manifest
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.layout import Layout
from relationship_pipeline.schemas import INSTANT
from relationship_pipeline.settings import Settings
from relationship_pipeline.sources.base import ReadScope, Staged
from relationship_pipeline.sources.data_connect.source import DataConnectSource

EPOCH = "e0001-test"
NOW = datetime(2026, 4, 1, tzinfo=UTC)


@dataclass
class Rules:
    """Who may be read, as `consent/enforcement.py` gives it."""

    readable: pa.Table
    hidden: pa.Table
    hidden_domains: pa.Table


def rules(
    readable: Iterable[tuple[str, datetime | None, datetime | None]],
    hidden: Iterable[str] = (),
    hidden_domains: Iterable[str] = (),
) -> Rules:
    rows = [dict(zip(("mailbox", "since", "until"), row, strict=True)) for row in readable]
    schema = pa.schema([("mailbox", pa.string()), ("since", INSTANT), ("until", INSTANT)])
    return Rules(
        pa.Table.from_pylist(rows, schema=schema),
        pa.table({"address": pa.array(list(hidden), pa.string())}),
        pa.table({"domain": pa.array(list(hidden_domains), pa.string())}),
    )


@dataclass
class SmallLake:
    """Stages an export folder and collects its months. All users of the export may be read unless `allowed` says who
    may, as (mailbox id, since, until)."""

    export: Path
    data: Path
    allowed: list[tuple[str, datetime | None, datetime | None]] | None = None
    hidden: tuple[str, ...] = ()
    hidden_domains: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    source_options: dict[str, Any] = field(default_factory=dict)
    progress: list[str] = field(default_factory=list)
    refuse: Exception | None = None

    def __post_init__(self) -> None:
        (self.data / "epochs" / EPOCH).mkdir(parents=True, exist_ok=True)

    @property
    def layout(self) -> Layout:
        return Layout(self.data)

    @property
    def epoch(self) -> Any:
        return self.layout.epoch(EPOCH)

    @property
    def source(self) -> DataConnectSource:
        return DataConnectSource(self.export, spill=self.epoch.spill, clock=lambda: NOW, **self.source_options)

    def readable(self) -> list[tuple[str, datetime | None, datetime | None]]:
        if self.allowed is not None:
            return self.allowed
        return [(user, None, None) for user in self.source.read_directory([]).users["user_id"].to_pylist()]

    def collection(self) -> collect.Collection:
        return collect.Collection(
            layout=self.layout,
            epoch=EPOCH,
            rules=rules(self.readable(), self.hidden, self.hidden_domains),
            directory=self.source.read_directory([]),
            settings=Settings(data_dir=self.data, **self.options),
            fence=self.fence,
        )

    @contextmanager
    def fence(self) -> Iterator[None]:
        if self.refuse:
            raise self.refuse
        yield

    def scope(self, table: str, month: str) -> ReadScope:
        try:
            standing = open_table(self.epoch.month(table, month))
        except BadLake:
            standing = None
        mailboxes = sorted({mailbox for mailbox, _, _ in self.readable()})
        return ReadScope(mailboxes, standing.content_id if standing else None)

    def stage_emails(self, month: str) -> Staged:
        scope = self.scope("email", month)
        return self.source.stage_emails(month, scope, self.epoch.stage, lambda: None, self.progress.append)

    def stage_meetings(self, month: str) -> Staged:
        scope = self.scope("meetings", month)
        return self.source.stage_meetings(month, scope, self.epoch.stage, lambda: None, self.progress.append)

    def emails(self, month: str = "2026-03", **changed: Any) -> tuple[Manifest, list[dict[str, Any]]]:
        """Collect a month; its manifest and its rows in the file's order. `changed` alters what was staged."""
        manifest = collect.collect_emails(self.collection(), month, replace(self.stage_emails(month), **changed))
        return manifest, self.rows("email", month)

    def meetings(self, month: str = "2026-03", **changed: Any) -> tuple[Manifest, list[dict[str, Any]]]:
        manifest = collect.collect_meetings(self.collection(), month, replace(self.stage_meetings(month), **changed))
        return manifest, self.rows("meetings", month)

    def rows(self, table: str, month: str) -> list[dict[str, Any]]:
        folder = self.epoch.month(table, month)
        manifest = read_manifest(folder)
        assert manifest is not None
        return [row for path in manifest.paths(folder) for row in pq.ParquetFile(path).read().to_pylist()]


def balances(quality: dict[str, Any]) -> bool:
    """The equation of a quality record (B9)."""
    dropped = sum(quality["dropped"].values())
    parts = quality["distinct_emails"] + quality["duplicates"] + dropped + quality["left_out_copies"]
    return quality["copies_read"] == parts
