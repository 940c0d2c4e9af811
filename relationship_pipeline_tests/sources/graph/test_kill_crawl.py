"""kill -9 at random during a crawl, started again until it ends: the rows of an undisturbed crawl, no finished unit asked
for again, and of the unfinished ones only those that were under way."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from relationship_pipeline.simulator.scenario import Latency
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.sources.graph.stage import PLAN
from relationship_pipeline_tests.sources.graph.crawl_worker import crawl
from relationship_pipeline_tests.sources.graph.test_ground_truth import MONTH, scenario, settings_of

CONTEXT = multiprocessing.get_context("forkserver")
WIDTHS = (1, 4)
"""Requests at once. Below 8 no mailbox is opened beyond the width, so a kill finds so many units under way at most."""
UNITS = frozenset({"messages", "calendarView"})
PHASES = ("planning", "planned", "mail", "meetings")


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    CONTEXT.set_forkserver_preload(["relationship_pipeline_tests.sources.graph.crawl_worker"])
    slow = scenario(31, [], users=16, messages_per_month=1_200, latency=Latency(base=0.003, per_row=0.00002))
    with SimulatorServer(slow) as server:
        yield server


@dataclass
class Runner:
    """Starts crawls of one stage folder, kills them, and remembers which units each asked for."""

    server: SimulatorServer
    stage: Path
    width: int
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def run(self, kill_after: float | None = None) -> Any:
        """The crawl's result, or None when it was killed."""
        finished = self.finished()
        self.server.control("requests/clear", {})
        result = self._run(kill_after)
        units = {
            (entry["endpoint"], entry["mailbox"])
            for entry in self.server.control("requests")
            if entry["endpoint"] in UNITS and entry["status"] == 200
        }
        assert not units & finished, "a finished unit was fetched again"
        self.asked.update(units)
        return result

    def _run(self, kill_after: float | None) -> Any:
        # Settings hold secrets, which pydantic does not pickle as text by itself.
        settings = pickle.dumps(settings_of(self.server, max_concurrency=self.width))
        everyone = [user["id"] for user in self.server.control("scenario")["users"]]
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=crawl, args=(settings, everyone, MONTH, self.stage, theirs))
        process.start()
        theirs.close()
        try:
            assert ours.recv() == "started"
            if kill_after is not None:
                ours.poll(kill_after)
                process.kill()
            process.join()
            return ours.recv() if ours.poll() else None
        except EOFError:
            return None
        finally:
            process.join()
            ours.close()

    def phase(self) -> str:
        """How far the files say the crawl had come."""
        if list(self.stage.glob("graph-meetings-*/*")):
            return "meetings"
        if list(self.stage.glob("graph-email-*/*.parquet")):
            return "mail"
        return "planned" if list(self.stage.glob(f"*/{PLAN}")) else "planning"

    def finished(self) -> set[tuple[str, str]]:
        """Endpoint and mailbox of units that are done on disk."""
        found = set()
        for path in self.stage.glob("*/*.parquet"):
            table = pq.read_table(path, columns=["mailbox"])
            endpoint = "messages" if path.parent.name.startswith("graph-email") else "calendarView"
            first = 0
            for _, rows, cursor in json.loads(table.schema.metadata[b"units"]):
                if cursor["done"] and rows:
                    found.add((endpoint, table.column(0)[first].as_py()))
                first += rows
        return found

    def units_fetched_again(self) -> int:
        return sum(times - 1 for times in self.asked.values())


def copies(result: Any) -> list[tuple[Any, ...]]:
    """Every staged row of mail and of meetings."""
    (mail, *_), (meetings, *_) = result
    shapes = (
        (mail, ["mailbox", "item_id", "received_at", "folder_class", "from_address"]),
        (meetings, ["mailbox", "item_id", "start_at", "organizer_address", "is_cancelled"]),
    )
    rows = [
        tuple(row.values())
        for files, columns in shapes
        for path in files
        for row in pq.read_table(path, columns=columns).to_pylist()
    ]
    return sorted(rows, key=lambda row: row[:2])


def counts(result: Any) -> list[Any]:
    return [part[1:] for part in result]


@dataclass(frozen=True)
class Undisturbed:
    result: Any
    seconds: float


def undisturbed(simulator: SimulatorServer, stage: Path, width: int) -> Undisturbed:
    """A crawl that nobody kills, and how long it takes."""
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    begun = time.monotonic()
    result = Runner(simulator, stage, width).run()
    return Undisturbed(result, time.monotonic() - begun)


def kill_and_compare(simulator: SimulatorServer, tmp_path: Path, kills: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    # The first crawl also warms the simulator's caches, so its time does not count.
    whole = {width: undisturbed(simulator, tmp_path / f"undisturbed-{width}", width) for width in (4, 1, 4)}
    true = whole[WIDTHS[0]].result
    phases, again = Counter(dict.fromkeys(PHASES, 0)), Counter(dict.fromkeys(WIDTHS, 0))
    done, crawls = 0, 0
    while done < kills:
        width = WIDTHS[crawls % len(WIDTHS)]
        crawls += 1
        stage = tmp_path / f"stage-{crawls}"
        stage.mkdir()
        runner, killed, result = Runner(simulator, stage, width), 0, None
        while result is None and done + killed < kills:
            result = runner.run(rng.uniform(0.02, whole[width].seconds))
            if result is None:
                killed += 1
                phases[runner.phase()] += 1
        result = result or runner.run()
        assert copies(result) == copies(true), f"seed {seed}, crawl {crawls}: rows differ from an undisturbed crawl"
        assert counts(result) == counts(true), f"seed {seed}, crawl {crawls}"
        assert runner.units_fetched_again() <= killed * width, f"seed {seed}, crawl {crawls}: at most one a lane"
        again[width] += runner.units_fetched_again()
        done += killed
    figures = {
        "seed": seed,
        "kills": done,
        "phases": dict(phases),
        "crawls": crawls,
        "rows": len(copies(true)),
        "units_fetched_again_by_width": dict(again),
    }
    print(json.dumps(figures))
    return dict(phases)


def test_killed_ten_times_a_crawl_ends_as_if_undisturbed(simulator: SimulatorServer, tmp_path: Path) -> None:
    phases = kill_and_compare(simulator, tmp_path, kills=10, seed=7)
    assert phases["mail"] + phases["meetings"] >= 2, f"hardly killed while it fetched: {phases}"


@pytest.mark.soak
def test_killed_two_hundred_times_a_crawl_ends_as_if_undisturbed(simulator: SimulatorServer, tmp_path: Path) -> None:
    phases = kill_and_compare(simulator, tmp_path, kills=200, seed=8)
    assert min(phases.values()) >= 5, f"a phase was hardly hit: {phases}"
