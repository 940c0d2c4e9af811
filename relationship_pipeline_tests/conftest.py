"""Fixtures that every room shares: a clean environment and a data directory of one's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from relationship_pipeline.layout import Layout

hypothesis.settings.register_profile("suite", deadline=None)  # tests share two cores: wall times are noise
hypothesis.settings.load_profile("suite")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of interpreters start: the first compiles for all
os.environ.pop("PYTHONUNBUFFERED", None)  # it would hide output that nobody flushed

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.hookimpl(optionalhook=True)  # also without xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests mostly wait for processes of their own (Dagster's, the simulator's)."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test; the data directory is the test's own."""
    # Dagster has SIGTERM do what SIGINT does: nothing, in a worker of xdist and in all that it starts.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name in list(os.environ):
        if name.startswith(("RELATIONSHIP_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RELATIONSHIP_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


@pytest.fixture(scope="session")
def enron_export() -> Path:
    """The real export folder; tests that need it skip where it is absent."""
    folder = SHARED_DATA / "enron_export"
    if not folder.is_dir():
        pytest.skip("real data is not beside this checkout")
    return folder
