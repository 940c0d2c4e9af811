"""What a data platform engineer does in the UI: a backfill over partitions, a month that fails, publishing, withdrawal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.months import month_range
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.command import refuse, rows, run, succeed
from relationship_pipeline_tests.dagster_ui import Ui, dev
from relationship_pipeline_tests.end_to_end.small_company import MONTHS, write_company
from relationship_pipeline_tests.end_to_end.tables import published

pytestmark = pytest.mark.xdist_group("dagster ui")

MONTHLY = ["email_metadata", "meeting_metadata", "interactions"]
DONE = "COMPLETED_SUCCESS"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The company's settings, with its tables as `backfill` publishes them below `expected`."""
    folder = tmp_path_factory.mktemp("ui")
    settings = write_company(folder)
    environment = {**settings, "RELATIONSHIP_DATA_DIR": str(folder / "expected")}
    succeed("consent", "provide", "--admin", "someone", **environment)
    succeed("backfill", "--from", MONTHS[0], "--to", MONTHS[-1], **environment)
    return {**settings, "EXPECTED": str(folder / "expected"), "FOLDER": str(folder)}


def expected(company: dict[str, str]) -> dict[str, list[dict[str, object]]]:
    return published(Path(company["EXPECTED"]))


@pytest.fixture
def ui(company: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Ui, dict[str, str]]]:
    """A running `dev` on a data directory of its own, consented or not (`request.param`)."""
    options = dict(getattr(request, "param", {}))
    consented = options.pop("consented", True)
    environment = {**company, **options, "RELATIONSHIP_DATA_DIR": str(tmp_path / "data")}
    if consented:
        succeed("consent", "provide", "--admin", "someone", **environment)
    with dev(environment, tmp_path / "dev.log") as running:
        yield running, environment


def backfill(ui: Ui, months: tuple[str, ...] = MONTHS) -> str:
    launched = ui.launch_backfill(MONTHLY, months)
    return ui.wait_for(lambda: ui.backfill_status(launched))


@pytest.mark.soak
@pytest.mark.parametrize("ui", [{"consented": False}], indirect=True)
def test_c4_partitions_launched_without_consent_refuse_and_read_nothing(ui: tuple[Ui, dict[str, str]]) -> None:
    running, environment = ui
    assert backfill(running, MONTHS[:1]) != DONE
    assert not Layout(Path(environment["RELATIONSHIP_DATA_DIR"])).epochs.exists()


def test_a_backfill_from_the_ui_publishes_what_the_command_publishes_one_failed_month_aside(
    ui: tuple[Ui, dict[str, str]], company: dict[str, str]
) -> None:
    """One month is refused (another run reads it): the others land and are published, and the sum says which is
    missing. Mended and run again, the tables equal those of the command line. Then consent is withdrawn, and the sensor
    deletes with nobody touching it."""
    running, environment = ui
    layout = Layout(Path(environment["RELATIONSHIP_DATA_DIR"]))
    (epoch,) = layout.epochs.iterdir()
    with locked(layout.table_lock("reading-email", MONTHS[1])):
        assert backfill(running) != DONE
        assert MONTHS[1] in refuse("backfill", "--from", MONTHS[1], "--to", MONTHS[1], **environment)
    build = running.launch_job("build_insights")
    assert running.wait_for(lambda: running.run_status(build)) == "SUCCESS"
    batches = {row["month"]: row["status"] for row in rows("select month, status from batches", **environment)}
    assert set(batches) == set(MONTHS) - {MONTHS[1]}
    accuracy = rows("select distinct computation_accuracy as a from contact_kpis", **environment)
    assert [row["a"] for row in accuracy] == ["partial"]

    assert backfill(running, MONTHS[1:2]) == DONE
    build = running.launch_job("build_insights")
    assert running.wait_for(lambda: running.run_status(build)) == "SUCCESS"
    assert published(Path(environment["RELATIONSHIP_DATA_DIR"])) == expected(company)

    succeed("consent", "withdraw", "--admin", "someone", "--epoch", epoch.name, "--yes", **environment)
    pause = threading.Event()
    for _ in range(180):
        state = json.loads(succeed("erase", "status", "--json", **environment))["state"]
        if state in ("VERIFIED", "BACKUPS_DUE", "CLOSED"):
            break
        pause.wait(1)
    assert state in ("VERIFIED", "BACKUPS_DUE", "CLOSED")
    (certificate,) = layout.certificates.glob("*-app.json")
    assert "genuine" in succeed("erase", "certificate", "--verify", str(certificate), **environment)
    assert not epoch.exists()
    assert run("query", "select 1", "--role", "salesperson", **environment).returncode == 1


@pytest.mark.soak
@pytest.mark.parametrize("ui", [{"RELATIONSHIP_EXECUTOR": "multiprocess"}], indirect=True)
def test_the_multiprocess_executor_gives_the_same_tables(
    ui: tuple[Ui, dict[str, str]], company: dict[str, str]
) -> None:
    running, environment = ui
    assert backfill(running) == DONE
    build = running.launch_job("build_insights")
    assert running.wait_for(lambda: running.run_status(build)) == "SUCCESS"
    assert published(Path(environment["RELATIONSHIP_DATA_DIR"])) == expected(company)


@pytest.mark.soak
@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_a_real_year_launched_from_the_ui_equals_the_commands(
    enron_export: Path, tmp_path: Path, executor: str
) -> None:
    """Twelve partitions, two at once."""
    months = month_range("2001-02", "2002-01")
    settings = {
        "RELATIONSHIP_SOURCE": "data_connect",
        "RELATIONSHIP_DATA_CONNECT_DIR": str(enron_export),
        "RELATIONSHIP_INTERNAL_DOMAINS": "enron.com",
        "RELATIONSHIP_AS_OF": "2002-02-01T00:00:00Z",
        "RELATIONSHIP_EXECUTOR": executor,
    }
    command = {**settings, "RELATIONSHIP_DATA_DIR": str(tmp_path / "command")}
    launched = {**settings, "RELATIONSHIP_DATA_DIR": str(tmp_path / "launched")}
    for environment in (command, launched):
        succeed("consent", "provide", "--admin", "someone@enron.com", **environment)
    succeed("backfill", "--from", months[0], "--to", months[-1], **command)
    with dev(launched, tmp_path / "dev.log") as running:
        assert backfill(running, tuple(months)) == DONE
        build = running.launch_job("build_insights")
        assert running.wait_for(lambda: running.run_status(build)) == "SUCCESS"
    assert published(tmp_path / "launched") == published(tmp_path / "command")
