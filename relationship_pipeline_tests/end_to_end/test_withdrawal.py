"""What an administrator sees after withdrawing from the demo tenant (W1-W4, W6): with Dagster up nobody touches anything,
with Dagster stopped a watchdog does it; then consent is given again and starts from nothing."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import pytest

from relationship_pipeline.layout import Layout
from relationship_pipeline_tests.command import refuse, rows, run, succeed
from relationship_pipeline_tests.dagster_ui import Ui, dev

DEMO = ("demo", "--users", "6", "--months", "1", "--seed", "3")
ADDRESS = re.compile(r"[\w.+'-]+@[\w-]+(\.[\w-]+)+")
EVERYTHING = """
query Everything {
  runsOrError { ... on Runs { results { runId jobName status tags { key value } runConfigYaml } } }
  partitionBackfillsOrError { ... on PartitionBackfills { results { id status partitionNames } } }
  assetsOrError { ... on AssetConnection { nodes {
    key { path }
    assetMaterializations { runId metadataEntries { label description ... on TextMetadataEntry { text } } }
  } } }
  sensorsOrError(repositorySelector: {repositoryLocationName: "relationship_pipeline", repositoryName: "__repository__"}) {
    ... on Sensors { results { name sensorState { status ticks { cursor error { message } skipReason } } } }
  }
}
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's data directory; each test takes a copy."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    succeed(*DEMO, RELATIONSHIP_DATA_DIR=str(folder))
    return folder


@pytest.fixture
def data(demo: Path, tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(demo, tmp_path / "data", symlinks=True)))


def settings(data: Layout) -> dict[str, str]:
    return {"RELATIONSHIP_DATA_DIR": str(data.root), "RELATIONSHIP_SOURCE": "demo"}


def withdraw(data: Layout) -> str:
    (epoch,) = data.epochs.iterdir()
    succeed("consent", "withdraw", "--admin", "someone", "--epoch", epoch.name, "--yes", **settings(data))
    assert "consent" in refuse("query", "select 1", "--role", "salesperson", **settings(data))
    assert "consent" in refuse("backfill", **settings(data))
    return epoch.name


def state(data: Layout) -> str:
    return str(json.loads(succeed("erase", "status", "--json", **settings(data)))["state"])


def assert_nothing_is_left(data: Layout, epoch: str) -> None:
    assert not list(data.epochs.iterdir())
    assert not list(data.keys.glob("*"))
    succeed("erase", "verify", **settings(data))
    (certificate,) = data.certificates.glob(f"*-{epoch}-app.json")
    assert "genuine" in succeed("erase", "certificate", "--verify", str(certificate), **settings(data))


def assert_consent_given_again_starts_from_nothing(data: Layout, old: str) -> None:
    assert succeed(*DEMO, **settings(data))
    (tree,) = data.epochs.iterdir()
    assert tree.name != old
    assert rows("select count(*) as n from contact_kpis", **settings(data))[0]["n"] > 0


def shown(ui: Ui) -> dict[str, object]:
    """All that the UI can show of runs, backfills, assets and sensors."""
    return ui.ask(EVERYTHING)


def test_w1_with_dagster_stopped_the_watchdog_deletes_and_consent_given_again_starts_from_nothing(data: Layout) -> None:
    epoch = withdraw(data)
    assert state(data) == "FENCED"
    assert run("erase", "status", "--check", **settings(data)).returncode == 0, "not late yet"
    succeed("erase", "run", **settings(data))
    assert state(data) == "CLOSED"
    assert_nothing_is_left(data, epoch)
    assert_consent_given_again_starts_from_nothing(data, epoch)


@pytest.mark.soak
@pytest.mark.xdist_group("dagster ui")
def test_w1_in_dev_the_sensor_deletes_with_nobody_touching_it_and_the_ui_shows_nothing_of_it(
    data: Layout, tmp_path: Path
) -> None:
    with dev(settings(data), tmp_path / "dev.log") as ui:
        before = shown(ui)
        assert len(before["runsOrError"]["results"]) >= 3
        epoch = withdraw(data)
        pause = threading.Event()
        for _ in range(300):
            if state(data) == "CLOSED":
                break
            pause.wait(1)
        assert_nothing_is_left(data, epoch)
        after = shown(ui)
        assert not ADDRESS.search(json.dumps(after)), after
        assert {one["jobName"] for one in after["runsOrError"]["results"]} == {"erase_after_withdrawal"}
        assert not any(asset["assetMaterializations"] for asset in after["assetsOrError"]["nodes"])
        assert_consent_given_again_starts_from_nothing(data, epoch)
        assert any(asset["assetMaterializations"] for asset in shown(ui)["assetsOrError"]["nodes"])
