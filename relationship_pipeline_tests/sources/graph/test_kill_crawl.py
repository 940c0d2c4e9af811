"""kill -9 at random during a crawl, started again until it ends: the rows of an undisturbed crawl, no finished unit asked
for again."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
import time
from collections import Counter
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    CONTEXT.set_forkserver_preload(["relationship_pipeline_tests.sources.graph.crawl_worker"])
    slow = scenario(31, [], users=16, messages_per_month=2_400, latency=Latency(base=0.004, per_row=0.00002))
    with SimulatorServer(slow) as server:
        yield server


class Runner:
    """Starts crawls of one stage folder, and kills them."""

    def __init__(self, server: SimulatorServer, stage: Path) -> None:
        self.server = server
        self.stage = stage
        self.everyone = [user["id"] for user in server.control("scenario")["users"]]
        # Settings hold secrets, which pydantic does not pickle as text by itself.
        self.settings = pickle.dumps(settings_of(server, max_concurrency=4))

    def run(self, kill_after: float | None = None) -> Any:
        """The crawl's result, or None when it was killed."""
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=crawl, args=(self.settings, self.everyone, MONTH, self.stage, theirs))
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
        parts = list(self.stage.glob("*/*.parquet"))
        if parts:
            return "crawling"
        return "planned" if list(self.stage.glob(f"*/{PLAN}")) else "planning"

    def finished_mailboxes(self) -> set[str]:
        """Mailboxes whose one unit is done on disk."""
        found = set()
        for path in self.stage.glob("*/*.parquet"):
            table = pq.read_table(path, columns=["mailbox"])
            if json.loads(table.schema.metadata[b"cursor"])["done"] and table.num_rows:
                found.add(table.column(0)[0].as_py())
        return found


def copies(files: list[Path]) -> list[tuple[Any, ...]]:
    columns = ["mailbox", "item_id", "received_at", "folder_class", "from_address"]
    rows = [tuple(row.values()) for path in files for row in pq.read_table(path, columns=columns).to_pylist()]
    return sorted(rows, key=lambda row: row[:2])


def kill_and_compare(simulator: SimulatorServer, tmp_path: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    reference = Runner(simulator, undisturbed)
    reference.run()  # the first run also warms the simulator's caches
    for path in undisturbed.rglob("*.*"):
        if path.is_file():
            path.unlink()
    begun = time.monotonic()
    files, mailboxes, walked, tally = reference.run()
    span = time.monotonic() - begun
    true = copies(files)
    phases: Counter[str] = Counter()
    done, round_number = 0, 0
    while done < kills:
        round_number += 1
        stage = tmp_path / f"stage-{round_number}"
        stage.mkdir()
        runner = Runner(simulator, stage)
        result = None
        while result is None and done < kills:
            finished = runner.finished_mailboxes()
            simulator.control("requests/clear", {})
            result = runner.run(rng.uniform(0.02, span * 0.7))
            done += result is None
            if result is None:
                phases[runner.phase()] += 1
            asked = {entry["mailbox"] for entry in simulator.control("requests") if entry["endpoint"] == "messages"}
            assert not asked & finished, f"seed {seed}: a finished unit was fetched again"
        result = result or runner.run()
        assert copies(result[0]) == true, f"seed {seed}, round {round_number}: rows differ from an undisturbed crawl"
        assert result[1:] == (mailboxes, walked, tally), f"seed {seed}, round {round_number}"
    print(json.dumps({"seed": seed, "kills": done, "phases": dict(phases), "crawls": round_number, "rows": len(true)}))
    assert phases["crawling"] >= kills // 3


def test_killed_ten_times_a_crawl_ends_as_if_undisturbed(simulator: SimulatorServer, tmp_path: Path) -> None:
    kill_and_compare(simulator, tmp_path, kills=10, seed=7)


@pytest.mark.soak
def test_killed_two_hundred_times_a_crawl_ends_as_if_undisturbed(simulator: SimulatorServer, tmp_path: Path) -> None:
    kill_and_compare(simulator, tmp_path, kills=200, seed=8)
