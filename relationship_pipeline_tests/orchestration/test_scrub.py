"""What a deletion does to Dagster's storage, and what it leaves to a later consent (W2, W3, W6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.operations import next_consent_after
from relationship_pipeline.orchestration.scrub import cancel_runs, scrub_history
from relationship_pipeline.settings import Settings

THEN = datetime(2026, 11, 20, 9, tzinfo=UTC)
AGAIN = THEN + timedelta(hours=2)


@dg.asset(check_specs=[dg.AssetCheckSpec("complete", asset="email_metadata")])
def email_metadata() -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset
def interactions() -> None:
    return None


JOB = dg.define_asset_job("backfill_year").resolve(
    asset_graph=dg.Definitions([email_metadata, interactions]).resolve_asset_graph()
)
EMAILS_ONLY = dg.define_asset_job("emails", selection="email_metadata").resolve(
    asset_graph=dg.Definitions([email_metadata]).resolve_asset_graph()
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = Settings(data_dir=tmp_path / "data")
    prepare(settings)
    return settings.layout.dagster_home


@pytest.fixture
def instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as opened:
        yield opened


def materialized(instance: dg.DagsterInstance, at: datetime, job: dg.JobDefinition = JOB) -> str:
    """A run that has ended, as if it had been created then."""
    run_id = job.execute_in_process(instance=instance).run_id
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.run_storage.delete_run(run_id)
    instance.run_storage.add_historical_run(run, at)
    return run_id


def in_flight(instance: dg.DagsterInstance, at: datetime) -> str:
    run = instance.create_run_for_job(JOB, status=dg.DagsterRunStatus.STARTED)
    instance.run_storage.delete_run(run.run_id)
    instance.run_storage.add_historical_run(run, at)
    return run.run_id


def backfill(instance: dg.DagsterInstance, name: str, at: datetime, status: BulkActionStatus) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=name, status=status, from_failure=False, tags={}, backfill_timestamp=at.timestamp()
        )
    )


def holds(home: Path, text: str) -> list[str]:
    """Files of the home that hold the text, or are named by it."""
    found = [path for path in home.rglob("*") if text in path.name or (path.is_file() and text in _text(path))]
    return sorted(path.relative_to(home).as_posix() for path in found)


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def test_w6_a_deletion_spares_the_runs_of_a_consent_given_meanwhile(instance: dg.DagsterInstance, home: Path) -> None:
    old = [materialized(instance, THEN), materialized(instance, AGAIN - timedelta(seconds=1))]
    hanging = in_flight(instance, THEN)
    new, going_on = materialized(instance, AGAIN, EMAILS_ONLY), in_flight(instance, AGAIN + timedelta(minutes=1))
    backfill(instance, "oldrequested", THEN, BulkActionStatus.REQUESTED)
    backfill(instance, "oldcompleted", THEN, BulkActionStatus.COMPLETED_SUCCESS)
    backfill(instance, "newrequested", AGAIN, BulkActionStatus.REQUESTED)

    assert cancel_runs(instance, until=AGAIN, keep_run=None, patience=0) == 0
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses[hanging] is dg.DagsterRunStatus.CANCELED
    assert statuses[going_on] is dg.DagsterRunStatus.STARTED
    assert {one.backfill_id: one.status for one in instance.get_backfills()} == {
        "oldrequested": BulkActionStatus.CANCELING,
        "oldcompleted": BulkActionStatus.COMPLETED_SUCCESS,
        "newrequested": BulkActionStatus.REQUESTED,
    }

    counts = scrub_history(instance, home, until=AGAIN, keep_run=None)
    assert (counts["dagster_runs"], counts["dagster_backfills"], counts["dagster_assets"]) == (3, 1, 1)
    assert {run.run_id for run in instance.get_runs()} == {new, going_on}
    assert {one.backfill_id for one in instance.get_backfills()} == {"oldrequested", "newrequested"}
    assert instance.get_latest_materialization_event(dg.AssetKey("email_metadata")).run_id == new
    assert instance.get_latest_materialization_event(dg.AssetKey("interactions")) is None
    for run_id in [*old, hanging]:
        assert holds(home, run_id) == []
    assert holds(home, new)


def test_w2_without_a_later_consent_everything_goes_but_the_deletions_own_run(
    instance: dg.DagsterInstance, home: Path
) -> None:
    gone, own = materialized(instance, THEN), in_flight(instance, AGAIN)
    assert cancel_runs(instance, until=None, keep_run=own, patience=0) == 0
    scrub_history(instance, home, until=None, keep_run=own)
    assert [run.run_id for run in instance.get_runs()] == [own]
    assert holds(home, gone) == []


def test_w6_the_border_is_the_moment_of_the_next_consent(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    ledger = ControlLedger(settings.layout)
    first = ledger.provide("admin", now=THEN)[0].epoch
    ledger.provide("admin", now=THEN + timedelta(hours=1))
    assert next_consent_after(settings, first) is None, "a consent that is renewed is still the same"
    ledger.withdraw(first, now=AGAIN - timedelta(hours=1), source="cli", reason="withdrawn")
    second = ledger.provide("admin", now=AGAIN)[0].epoch
    assert next_consent_after(settings, first) == AGAIN
    assert next_consent_after(settings, second) is None
