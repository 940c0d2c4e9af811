"""Runs through Dagster in this process: refusals, a wrong home, and what Dagster keeps of an error."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from relationship_pipeline import operations
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.definitions import build_definitions
from relationship_pipeline.domain.consent import ConsentLevel
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.operations import provide_consent
from relationship_pipeline.orchestration.commands import command, end_abandoned_runs
from relationship_pipeline.orchestration.guard import guarded
from relationship_pipeline.orchestration.protect import protect_jobs
from relationship_pipeline.orchestration.run import backfill
from relationship_pipeline.settings import Settings, load_settings
from relationship_pipeline_tests.end_to_end.small_company import MONTHS, write_company


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in write_company(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", "set by each run")
    ready = load_settings()
    prepare(ready)
    return ready


def test_c4_a_partition_without_consent_refuses_in_one_line_and_reads_nothing(settings: Settings) -> None:
    outcome = backfill(settings, MONTHS[:1], lambda line: None)
    (line,) = outcome.failed.values()
    assert "consent" in line
    assert not settings.layout.epochs.exists()


def test_b1_a_partition_outside_the_window_ends_with_one_line(settings: Settings) -> None:
    settings.layout.first_month.write_text("2025-01\n")
    provide_consent(settings, "someone", ConsentLevel.IDENTIFIABLE, ())
    outcome = backfill(settings, ["2025-02", MONTHS[0]], lambda line: None)
    assert "outside the collection window" in outcome.failed["2025-02"]
    assert outcome.landed == [MONTHS[0]]
    assert outcome.published


@pytest.mark.parametrize("job", ["daily_refresh", "backfill_year"])
def test_a_run_without_a_month_asks_for_one(settings: Settings, monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(settings.layout.dagster_home))
    provide_consent(settings, "someone", ConsentLevel.IDENTIFIABLE, ())
    with dg.DagsterInstance.get() as instance:
        definition = build_definitions(settings).resolve_job_def(job)
        result = definition.execute_in_process(instance=instance, raise_on_error=False)
        said = [event.step_failure_data.error.to_string() for event in result.all_events if event.is_step_failure]
    assert any("names no month" in text for text in said), said


def test_a_crm_folder_that_is_not_there_is_said(settings: Settings, tmp_path: Path) -> None:
    provide_consent(settings, "someone", ConsentLevel.IDENTIFIABLE, ())
    said: list[str] = []
    rows = operations.read_crm(
        operations.Work(settings.model_copy(update={"crm_dir": tmp_path / "nowhere"}), said.append)
    )
    assert said == ["the setting crm_dir names no folder: nothing of a CRM is read"]
    assert set(rows.values()) == {0}


def test_another_dagster_home_is_refused_in_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere/else")
    with pytest.raises(dg.Failure, match="DAGSTER_HOME"):
        guarded(settings, lambda: None)


def test_the_text_of_an_unexpected_error_never_reaches_dagster(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(settings.layout.dagster_home))

    def stumble() -> None:
        raise KeyError("alice@contoso.com")

    with pytest.raises(dg.Failure) as caught:
        guarded(settings, stumble)
    assert "alice" not in str(caught.value.description)
    assert "KeyError" in str(caught.value.description)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_our_own_errors_keep_their_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(settings.layout.dagster_home))

    def refuse() -> None:
        raise PipelineError("the disk is full; make room")

    with pytest.raises(dg.Failure, match="make room"):
        guarded(settings, refuse)


def test_only_runs_of_commands_that_are_gone_are_ended(settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        layout = settings.layout

        def started(tags: dict[str, str]) -> str:
            return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id

        @dg.job
        def job() -> None:
            pass

        with command(layout) as ours:
            others = dict.fromkeys(ours, "0123456789abcdef")
            living, killed, launched = started(ours), started(others), started({})
            assert end_abandoned_runs(instance, layout) == 1
        states = {run.run_id: run.status for run in instance.get_runs()}
        assert states[killed] is dg.DagsterRunStatus.FAILURE
        assert states[living] is states[launched] is dg.DagsterRunStatus.STARTED
        assert end_abandoned_runs(instance, layout) == 1
    assert not list(layout.control.glob("locks/command-*"))


def test_w5_the_job_takes_a_request_by_its_number_and_an_address_never_reaches_dagster(settings: Settings) -> None:
    provide_consent(settings, "someone", ConsentLevel.IDENTIFIABLE, ())
    (job,) = [one for one in protect_jobs(settings) if one.name == "erase_person"]
    os.environ["DAGSTER_HOME"] = str(settings.layout.dagster_home)
    with dg.DagsterInstance.get() as instance:

        def erase(request: object) -> dg.ExecuteInProcessResult:
            config = {"ops": {"erase_recorded_person": {"config": {"request": request}}}}
            return job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)

        with pytest.raises(dg.DagsterInvalidConfigError):
            erase("ada@contoso.com")
        assert instance.get_runs() == []
        assert not erase(7).success, "a number that stands for nobody is no success"
        said: list[str] = []
        assert (
            operations.erase_person(operations.Work(settings, said.append), "ada@contoso.com", everywhere=False)
            == "COMPLETED"
        )
        assert said == ["recorded as request 1"]
        assert erase(1).success
