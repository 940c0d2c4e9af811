"""kill -9 and full disks at counted file-system calls of a small month, and what is there after a restart (B8)."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from relationship_pipeline_tests.command import succeed
from relationship_pipeline_tests.end_to_end.small_company import write_company
from relationship_pipeline_tests.end_to_end.tables import published
from relationship_pipeline_tests.faults import Forker, forker

SHARDS = 4
EVERY = 8
KILLED = -9
STARTING, ENDED = "starting", "ended"
UNDISTURBED = 600.0
"""Seconds that no run takes."""


class Bench:
    """A consented data directory to copy for each trial, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path, fork: Forker) -> None:
        self.folder, self.fork = folder, fork
        self.settings = {**write_company(folder), "FAULT_MONTH": "2026-02"}
        self.fresh = folder / "fresh"
        succeed("consent", "provide", "--admin", "someone", **self.environment(self.fresh))
        self.undisturbed = folder / "undisturbed"
        shutil.copytree(self.fresh, self.undisturbed)
        trial = fork.trial("collect_month", self.undisturbed, self.environment(self.undisturbed))
        assert trial.status == 0
        self.calls = trial.calls

    def environment(self, data: Path) -> dict[str, str]:
        return {**self.settings, "RELATIONSHIP_DATA_DIR": str(data)}

    def disturb(self, at: int, fault: str) -> str:
        """One run with the fault at this call, then one without; returns the phase that was hit."""
        data = self.folder / f"trial-{fault}-{at}"
        shutil.copytree(self.fresh, data)
        hit = self.fork.trial("collect_month", data, self.environment(data), at=at, fault=fault)
        # an error while sweeping what is no longer needed is no failure of the run
        assert hit.status in ({KILLED} if fault == "kill" else {0, 3}), f"call {at}: {hit}"
        again = self.fork.trial("collect_month", data, self.environment(data))
        assert again.status == 0, f"call {at} ({hit.phase}): the restart failed"
        assert lake(data) == lake(self.undisturbed), f"call {at} ({hit.phase})"
        shutil.rmtree(data)
        return hit.phase


def lake(data: Path) -> dict[str, set[str]]:
    """What stands in the lake: by folder, the files' names, which are their contents' hashes; no leftovers allowed."""
    standing: dict[str, set[str]] = {}
    for folder in (*data.glob("epochs/*/lake/*/month=*"), *data.glob("epochs/*/lake/*/current")):
        manifest = json.loads((folder / "manifest.json").read_text())
        named = {file["name"] for file in manifest["files"]}
        assert {path.name for path in folder.iterdir()} == named | {"manifest.json"}, (
            f"leftovers in {folder.parent.name}"
        )
        standing[f"{folder.parent.name}/{folder.name}"] = named
    return standing


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("kills")
    with forker(folder) as fork:
        yield Bench(folder, fork)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_b8_killed_at_every_eighth_call_a_restart_gives_the_same_month(bench: Bench, shard: int) -> None:
    calls = range(1 + shard * EVERY, bench.calls + 1, EVERY * SHARDS)
    report(bench, Counter(bench.disturb(at, "kill") for at in calls), seed=None)


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_b8_an_error_at_a_call_leaves_the_old_state_and_a_restart_works(bench: Bench, fault: str) -> None:
    seed = 20261123
    calls = sorted(random.Random(seed).sample(range(1, bench.calls + 1), 6))
    report(bench, Counter(bench.disturb(at, fault) for at in calls), seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["kill", "ENOSPC"])
def test_b8_at_every_single_call(bench: Bench, fault: str) -> None:
    report(bench, Counter(bench.disturb(at, fault) for at in range(1, bench.calls + 1)), seed=None)


def report(bench: Bench, phases: Counter[str], *, seed: int | None) -> None:
    """Print what was hit as JSON; a harness that hit nothing would prove nothing."""
    assert phases
    print(json.dumps({"seed": seed, "calls": bench.calls, "hits": sum(phases.values()), "phases": phases}, indent=1))


def kill_backfills(folder: Path, kills: int, seed: int) -> None:
    """Start the same backfill again and again, kill -9 its whole process group at a random time of the span that such a
    run takes (measured anew whenever one ends before its kill) until so many kills hit a living run, let one end
    undisturbed, and compare what is published with a run that nobody disturbed."""
    settings = {**write_company(folder), "FAULT_MONTH": "2026-02"}
    calm = {**settings, "RELATIONSHIP_DATA_DIR": str(folder / "calm")}
    disturbed = {**settings, "RELATIONSHIP_DATA_DIR": str(folder / "disturbed")}
    for environment in (calm, disturbed):
        succeed("consent", "provide", "--admin", "someone", **environment)
    chance, phases = random.Random(seed), Counter[str]()
    with forker(folder) as fork:
        spans: list[float] = []
        while phases.total() - phases[ENDED] < kills:
            started = time.monotonic()
            after = chance.uniform(0, 1) * median(spans) if spans else UNDISTURBED
            said = fork.killed_after(after, "backfill", disturbed if spans else calm)
            if said is None:
                spans.append(time.monotonic() - started)
            phases[last_line(said)] += 1
            assert phases[ENDED] <= 2 * kills, "the runs are much faster than the measured span"
        assert fork.killed_after(UNDISTURBED, "backfill", disturbed) is None
    print(json.dumps({"seed": seed, "kills": kills, "spans": len(spans), "last line before": phases}, indent=1))
    assert set(phases) - {STARTING, ENDED}, "no kill fell into the work"
    assert published(folder / "disturbed") == published(folder / "calm")
    assert set(run_states(folder / "disturbed")) <= {"SUCCESS", "FAILURE", "CANCELED"}


def last_line(said: str | None) -> str:
    """The kind of the last progress line before a kill."""
    if said is None:
        return ENDED
    lines = said.strip().splitlines()
    return re.sub(r"[0-9][0-9,-]*", "N", lines[-1]) if lines else STARTING


def run_states(data: Path) -> Counter[str]:
    """How many runs of a data directory's Dagster home stand in which state."""
    with closing(sqlite3.connect(data / "dagster" / "history" / "runs.db")) as storage:
        return Counter(dict(storage.execute("select status, count(*) from runs group by status")))


def test_b8_a_backfill_killed_at_random_times_ends_with_the_same_tables(tmp_path: Path) -> None:
    kill_backfills(tmp_path, kills=6, seed=20261123)


@pytest.mark.soak
def test_b8_a_backfill_killed_two_hundred_times(tmp_path: Path) -> None:
    kill_backfills(tmp_path, kills=200, seed=7)
