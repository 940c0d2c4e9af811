"""Trap 31 (graph.md 7.2) from end to end: mail that an import put into a closed month is found by the weekly search of
`daily_refresh`, through Dagster, over HTTPS, into the lake and what is published."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from relationship_pipeline import operations
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentLevel, Purpose
from relationship_pipeline.domain.months import add_months, month_of, month_start
from relationship_pipeline.lake.manifest import LEFT_OUT, read_manifest
from relationship_pipeline.layout import Layout
from relationship_pipeline.operations import Work, provide_consent
from relationship_pipeline.operations.collection import Reading
from relationship_pipeline.orchestration.run import backfill, refresh
from relationship_pipeline.publishing.connection import current_epoch, open_published
from relationship_pipeline.settings import Settings, load_settings
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.server import SimulatorServer

TODAY = datetime.now(UTC).replace(microsecond=0)
"""The lake notes by the clock when a month landed, so the tenant's clock begins there and goes ahead of it."""
CLOSED = add_months(month_of(TODAY), -2)
SENDER = "late.sender@fabrikam.example"


@pytest.fixture
def tenant() -> Iterator[SimulatorServer]:
    scenario = Scenario(seed=3, users=4, months=(CLOSED,), messages_per_month=60, now=TODAY.isoformat())
    with SimulatorServer(scenario, process=False) as server:
        yield server


@pytest.fixture
def settings(tenant: SimulatorServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in tenant.address.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RELATIONSHIP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RELATIONSHIP_THREADS", "1")
    monkeypatch.setenv("DAGSTER_HOME", "set by each run")
    ready = load_settings()
    prepare(ready)
    provide_consent(ready, tenant.address.administrator, ConsentLevel.IDENTIFIABLE, ())
    return ready


def copies_of_sender(layout: Layout) -> int:
    """Rows of the closed month of the lake that the late sender wrote."""
    manifest = read_manifest(folder := current_epoch(layout).month("email", CLOSED))
    assert manifest is not None
    files = [folder / file.name for file in manifest.files if file.table != LEFT_OUT]
    return sum(
        pq.read_table(path, partitioning=None).column("from_address").to_pylist().count(SENDER) for path in files
    )


def published_emails(layout: Layout) -> int:
    """What `batches` says of the closed month."""
    with open_published(current_epoch(layout), "sales_manager") as connection:
        row = connection.execute("select distinct_emails from batches where month = $1", [CLOSED]).fetchone()
    assert row is not None
    return int(row[0])


def test_31_a_week_later_daily_refresh_finds_mail_imported_into_a_closed_month(
    tenant: SimulatorServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(now: datetime) -> Settings:
        tenant.control("clock", {"now": now.isoformat()})
        monkeypatch.setenv("RELATIONSHIP_AS_OF", now.isoformat())
        return load_settings()

    outcome = backfill(at(TODAY), [CLOSED], lambda line: None)
    assert outcome.published, outcome.failed
    before = published_emails(settings.layout)

    at(TODAY + timedelta(days=2))
    owner = next(user for user in tenant.control("scenario")["users"] if user["kind"] == "member")
    received = (month_start(CLOSED) + timedelta(days=4)).isoformat()
    mail = {"mailboxes": [owner["id"]], "from": SENDER, "to": [owner["upn"]], "received": received}
    tenant.control("messages/deliver", mail)

    soon, later = TODAY + timedelta(days=3), TODAY + timedelta(days=8)
    assert CLOSED not in operations.refresh_months(settings, soon), "a closed month is not searched every day"
    due = operations.refresh_months(settings, later)
    assert due[0] == CLOSED

    outcome = refresh(at(later), due, lambda line: None)
    assert outcome.published, outcome.failed
    assert copies_of_sender(settings.layout) == 1
    assert published_emails(settings.layout) == before + 1


def test_b3_what_came_after_a_crawl_that_was_never_committed_is_read_when_it_is(
    tenant: SimulatorServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged to the end and killed before the commit: the next day's run takes it up, and must not stop there."""
    running, member = month_of(TODAY), next(u for u in tenant.control("scenario")["users"] if u["kind"] == "member")
    work = Work(settings, lambda line: None)
    operations.read_directory(work)
    reading = Reading(work, work.ledger.require(Purpose.COLLECT))
    scope = reading.scope("email", running)
    reading.source.stage_emails(running, scope, reading.stage, reading.checkpoint, work.report)

    later = TODAY + timedelta(hours=20)
    tenant.control("clock", {"now": later.isoformat()})
    monkeypatch.setenv("RELATIONSHIP_AS_OF", later.isoformat())
    received = (TODAY + timedelta(minutes=1)).isoformat()
    mail = {"mailboxes": [member["id"]], "from": SENDER, "to": [member["upn"]], "received": received}
    tenant.control("messages/deliver", mail)
    said: list[str] = []
    manifest = operations.collect_emails(Work(load_settings(), said.append), running)
    assert f"{running}: a crawl that was broken off is committed; reading what came since" in said
    folder = current_epoch(settings.layout).month("email", running)
    senders = [pq.read_table(path, partitioning=None).column("from_address") for path in manifest.paths(folder)]
    assert [name for column in senders for name in column.to_pylist()].count(SENDER) == 1
