"""kill -9 of the eraser wherever it is (W3, reliability.md 7 no. 20): always ends erased, one certificate of a kind."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from relationship_pipeline.domain.erasure import ErasureState
from relationship_pipeline.erasure.certificate import verify_certificate
from relationship_pipeline.erasure.progress import ErasureProgress
from relationship_pipeline.erasure.steps import STEPS
from relationship_pipeline_tests.erasure.lived_in import Home, consented, live_in
from relationship_pipeline_tests.erasure.motor import carry_to_end, is_gone
from relationship_pipeline_tests.faults import Forker, forker

SEED = 23


@pytest.fixture(scope="module")
def withdrawn(tmp_path_factory) -> Home:
    home = live_in(consented(tmp_path_factory.mktemp("kills") / "data"))
    home.withdraw()
    return home


@pytest.fixture(scope="module")
def fork(tmp_path_factory) -> Iterator[Forker]:
    with forker(tmp_path_factory.mktemp("journal")) as started:
        yield started


def copy_of(home: Home, folder: Path) -> Home:
    shutil.copytree(home.layout.root, folder, symlinks=True)
    return Home(type(home.layout)(folder), home.epoch)


def killed(fork: Forker, home: Home, *, at: int | None = None, kill: str = "") -> str:
    """One motor, killed; returns the state whose work it died in."""
    environment = {"RELATIONSHIP_DATA_DIR": str(home.layout.root), "ERASE_EPOCH": home.epoch, "ERASE_KILL": kill}
    trial = fork.trial("erase", home.layout.root, environment, at=at)
    assert trial.status == -9, trial
    working_on = ErasureProgress(home.layout).get(home.epoch).working_on
    return working_on.value if working_on else "between two states"


def assert_ends_erased(home: Home, what: object) -> None:
    erasure = carry_to_end(home.deletion())
    assert erasure.state is ErasureState.CLOSED, (what, erasure.blocked)
    assert is_gone(home), what
    kinds = sorted(verify_certificate(path)["kind"] for path in home.layout.certificates.iterdir())
    assert kinds == ["app", "final"], what


@pytest.mark.parametrize("state", STEPS)
def test_w3_killed_in_each_state_the_deletion_ends_erased(state, withdrawn, fork, tmp_path):
    when = random.Random(f"{SEED}{state}").choice(["before", "after"])
    home = copy_of(withdrawn, tmp_path / "data")
    assert killed(fork, home, kill=f"{state.value}:{when}") == state.value
    assert_ends_erased(home, (SEED, state, when))


def test_w3_killed_at_file_system_calls_the_deletion_ends_erased(withdrawn, fork, tmp_path, capsys):
    kills_at_calls(withdrawn, fork, tmp_path, capsys, most=6)


@pytest.mark.soak
def test_w3_killed_ten_times_in_each_state_and_at_every_file_system_call(withdrawn, fork, tmp_path, capsys):
    for state in STEPS:
        for attempt in range(10):
            home = copy_of(withdrawn, tmp_path / f"{state.value}{attempt}")
            for _ in range(1 + attempt % 3):
                killed(fork, home, kill=f"{state.value}:{('before', 'after')[attempt % 2]}")
            assert_ends_erased(home, (state, attempt))
            shutil.rmtree(home.layout.root)
    kills_at_calls(withdrawn, fork, tmp_path, capsys, most=None)


def kills_at_calls(withdrawn: Home, fork: Forker, folder: Path, capsys, *, most: int | None) -> None:
    environment = {"ERASE_EPOCH": withdrawn.epoch, "ERASE_KILL": ""}
    whole = copy_of(withdrawn, folder / "whole")
    calls = fork.trial(
        "erase", whole.layout.root, {**environment, "RELATIONSHIP_DATA_DIR": str(whole.layout.root)}
    ).calls
    assert calls > 40
    points = range(1, calls + 1)
    chosen = list(points) if most is None else sorted(random.Random(SEED).sample(points, most))
    hits: Counter[str] = Counter()
    for at in chosen:
        home = copy_of(withdrawn, folder / f"at{at}")
        hits[killed(fork, home, at=at)] += 1
        assert_ends_erased(home, (SEED, at))
        shutil.rmtree(home.layout.root)
    with capsys.disabled():
        print(json.dumps({"seed": SEED, "calls": calls, "kills": len(chosen), "hits": dict(hits)}))
