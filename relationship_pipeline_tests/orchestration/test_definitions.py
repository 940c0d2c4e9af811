"""What Dagster shows: names that stay put (interfaces.md 4), partitions, the schedule, and how the location loads."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest
import yaml

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.definitions import build_definitions
from relationship_pipeline.orchestration.partitions import monthly_partitions
from relationship_pipeline.orchestration.schedules import RANGE_END, RANGE_START, daily_refresh_schedule
from relationship_pipeline.settings import Settings, load_settings
from relationship_pipeline_tests.conftest import REPOSITORY

MONTHLY = {"email_metadata", "meeting_metadata", "interactions"}
UNPARTITIONED = {
    "directory",
    "crm_records",
    "relationship_kpis",
    "relationship_health",
    "who_knows_whom",
    "contact_graph",
    "published_insights",
    "backups",
    "planned_meetings",
    "insights_report",
}
JOBS = {
    "daily_refresh",
    "backfill_year",
    "build_insights",
    "check_consent",
    "erase_after_withdrawal",
    "erase_person",
    "purge_backups",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RELATIONSHIP_SOURCE", "data_connect")
    return load_settings()


def specs(settings: Settings) -> dict[str, dg.AssetSpec]:
    definitions = build_definitions(settings)
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_assets_jobs_schedule_and_sensors_have_their_names(settings: Settings) -> None:
    definitions = build_definitions(settings)
    assert set(specs(settings)) >= MONTHLY | UNPARTITIONED
    assert {job.name for job in definitions.resolve_all_job_defs()} >= JOBS
    schedule = definitions.resolve_schedule_def("daily_refresh_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    sensors = {name: definitions.resolve_sensor_def(name) for name in SENSORS}
    assert sensors["consent_withdrawal_sensor"].default_status is dg.DefaultSensorStatus.RUNNING


SENSORS = (
    "consent_withdrawal_sensor",
    "consent_watch_sensor",
    "deletion_deadline_sensor",
    "abandoned_runs_sensor",
    "run_failure_alert",
)


def test_every_asset_has_a_description_a_group_kinds_and_an_owner(settings: Settings) -> None:
    for name, spec in specs(settings).items():
        assert spec.description, name
        assert len(spec.description) > 60, name
        assert spec.group_name in {"collect", "derive", "publish", "protect"}, name
        assert spec.kinds, name
        assert spec.owners, name


def test_b1_monthly_assets_share_one_partitions_definition(settings: Settings) -> None:
    found = specs(settings)
    assert {found[name].partitions_def for name in MONTHLY} == {monthly_partitions(settings)}
    assert all(found[name].partitions_def is None for name in UNPARTITIONED)


def test_b3_partitions_start_at_the_recorded_month_and_include_the_running_one(settings: Settings) -> None:
    prepare(settings)
    settings.layout.first_month.write_text("2025-03\n")
    keys = monthly_partitions(settings).get_partition_keys()
    assert keys[0] == "2025-03"
    assert keys[-1] == datetime.now(UTC).strftime("%Y-%m")


def test_with_a_fixed_as_of_partitions_end_with_its_month(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELATIONSHIP_AS_OF", "2002-02-01T00:00:00Z")
    keys = monthly_partitions(load_settings()).get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2001-02", "2002-02", 13)


def test_c4_without_consent_the_schedule_asks_for_nothing(settings: Settings) -> None:
    result = evaluate(settings, datetime(2026, 11, 23, 2, tzinfo=UTC))
    assert result.run_requests == []
    assert "consent" in (result.skip_message or "")


def test_b3_one_run_over_the_months_due(settings: Settings) -> None:
    prepare(settings)
    now = datetime(2026, 11, 2, 2, tzinfo=UTC)
    ControlLedger(settings.layout).provide("someone", now=now)
    result = evaluate(settings, now)
    assert result.run_requests is not None
    (request,) = result.run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2026-10", "2026-11")


def evaluate(settings: Settings, now: datetime) -> dg.ScheduleExecutionData:
    return daily_refresh_schedule(settings).evaluate_tick(dg.build_schedule_context(scheduled_execution_time=now))


def test_workspace_files_name_the_same_location() -> None:
    shipped = REPOSITORY / "relationship_pipeline" / "orchestration" / "workspace.yaml"
    module = {"module_name": "relationship_pipeline.definitions", "location_name": "relationship_pipeline"}
    for path in (REPOSITORY / "workspace.yaml", shipped):
        assert yaml.safe_load(path.read_text())["load_from"] == [{"python_module": module}]


def test_p9_loading_the_location_imports_no_engine_and_no_client() -> None:
    program = (
        "import sys, relationship_pipeline.definitions\n"
        "print([name for name in ('pandas', 'pyarrow', 'duckdb', 'httpx', 'msal') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_code_location_validates_without_consent_data_or_network() -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert not settings_folder_exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def settings_folder_exists() -> bool:
    return load_settings().layout.root.exists()
