"""Deletions that are late, or cannot be ended yet, show in Dagster and are gone on with (W2, W3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.erasure import ErasureState
from relationship_pipeline.erasure.progress import ErasureProgress
from relationship_pipeline.orchestration.protect import ON_TIME, protect_checks, protect_jobs, protect_sensors
from relationship_pipeline.settings import Settings, load_settings

CHECK = dg.AssetCheckKey(dg.AssetKey("backups"), ON_TIME)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RELATIONSHIP_SOURCE", "data_connect")
    made = load_settings()
    prepare(made)
    monkeypatch.setenv("DAGSTER_HOME", str(made.layout.dagster_home))
    return made


def withdrawn(settings: Settings, ago: timedelta) -> str:
    control, at = ControlLedger(settings.layout), datetime.now(UTC) - ago
    epoch = control.provide("someone", now=at)[0].epoch
    control.withdraw(epoch, now=at, source="cli", reason="withdrawn")
    return epoch


def tick(settings: Settings, name: str, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    (sensor,) = [one for one in protect_sensors(settings) if one.name == name]
    with dg.DagsterInstance.ephemeral() as instance:
        return sensor(dg.build_sensor_context(instance=instance, cursor=cursor))


def test_w3_a_deletion_at_risk_fails_an_asset_check_once_a_step_and_passes_it_when_done(settings: Settings) -> None:
    assert isinstance(tick(settings, "deletion_deadline_sensor"), dg.SkipReason)
    assert not settings.layout.control_ledger.exists(), "looking writes nothing"
    epoch = withdrawn(settings, timedelta(hours=7))
    late = tick(settings, "deletion_deadline_sensor")
    (event,) = late.asset_events
    assert (event.asset_check_key, event.passed) == (CHECK, False)
    assert isinstance(tick(settings, "deletion_deadline_sensor", late.cursor), dg.SkipReason), "said once"
    ErasureProgress(settings.layout).reach(epoch, ErasureState.CLOSED, datetime.now(UTC), {})
    (event,) = tick(settings, "deletion_deadline_sensor", late.cursor).asset_events
    assert event.passed


def test_w3_the_check_can_also_be_run_by_hand(settings: Settings) -> None:
    (check,) = protect_checks(settings)
    assert check().passed
    withdrawn(settings, timedelta(hours=7))
    assert not check().passed
    assert check.check_key == CHECK


def test_w2_a_deletion_whose_backups_could_not_be_reached_is_gone_on_with_once_an_hour(settings: Settings) -> None:
    epoch = withdrawn(settings, timedelta(hours=2))
    (first,) = tick(settings, "consent_withdrawal_sensor").run_requests
    assert first.run_key == f"{epoch}:1"
    ErasureProgress(settings.layout).reach(epoch, ErasureState.BACKUPS_DUE, datetime.now(UTC), {"sealed_left": 1})
    keys = {tick(settings, "consent_withdrawal_sensor", str(n)).run_requests[0].run_key for n in range(3)}
    assert len(keys) <= 2, "at most two hours are touched"
    assert all(key.startswith(f"{epoch}:backups:") for key in keys)
    ErasureProgress(settings.layout).reach(epoch, ErasureState.CLOSED, datetime.now(UTC), {})
    assert isinstance(tick(settings, "consent_withdrawal_sensor"), dg.SkipReason)


def test_w3_a_deletion_that_waits_in_the_queue_behind_runs_that_hang_clears_its_way(settings: Settings) -> None:
    config = {"ops": {"erase_epoch": {"config": {"epoch": withdrawn(settings, timedelta(minutes=2))}}}}
    (sensor,) = [one for one in protect_sensors(settings) if one.name == "consent_withdrawal_sensor"]
    (erase,) = [one for one in protect_jobs(settings) if one.name == "erase_after_withdrawal"]
    (other,) = [one for one in protect_jobs(settings) if one.name == "check_consent"]
    with dg.instance_for_test() as instance:
        hanging = [instance.create_run_for_job(other, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)]
        place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("relationship_pipeline"), "__repository__")
        queued = instance.create_run_for_job(
            erase,
            run_config=config,
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=place.get_job_origin(erase.name),
        ).run_id
        assert isinstance(sensor(dg.build_sensor_context(instance=instance)), dg.SkipReason)
        states = {run.run_id: run.status for run in instance.get_runs()}
        assert [states[run] for run in hanging] == [dg.DagsterRunStatus.CANCELED] * 2
        assert states[queued] is dg.DagsterRunStatus.QUEUED
