"""Withdrawal against a crawl that goes on, with the eraser killed at random (reliability.md 1.3, 7 no. 19).

Harness: a process collects, derives, publishes and backs up a small company over and over by the same steps as the
assets; at a random point of it consent is withdrawn; erasers are started and killed at random until one is left to
finish; the crawl lives on until it stops by itself, and the independent scanner looks again. In half of the races the
crawl is no registered process, so that nobody ends it: the fence alone must hold.
The same harness with fence and tree guard switched off must fail: otherwise it proves nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet  # noqa: F401
import pytest

from relationship_pipeline import durable, operations
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.erasure import workers
from relationship_pipeline.erasure.run import is_erased, run_erasure, verify_now, withdraw
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.operations import Work, collection
from relationship_pipeline.publishing import publish  # noqa: F401
from relationship_pipeline_tests.end_to_end.small_company import MONTHS, write_company
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, Home
from relationship_pipeline_tests.erasure.motor import carry_to_end
from relationship_pipeline_tests.operations.company import consented, settings_of

FORK = multiprocessing.get_context("fork")
MONTH = MONTHS[0]
STEPS: dict[str, Callable[[Work], object]] = {
    "directory": operations.read_directory,
    "CRM": operations.read_crm,
    "emails": lambda work: operations.collect_emails(work, MONTH),
    "meetings": lambda work: operations.collect_meetings(work, MONTH),
    "interactions": lambda work: operations.derive_interactions(work, MONTH),
    "KPIs": operations.build_kpis,
    "health": operations.build_health,
    "who knows whom": operations.build_who_knows_whom,
    "graph": operations.build_contact_graph,
    "publishing": operations.publish,
    "report": operations.build_report,
    "backup": operations.make_backup,
}
MOST_EVENTS = 8
"""A withdrawal comes after one of so many steps begun and commits made."""


@dataclass(frozen=True)
class Outcome:
    """What one race showed."""

    committed_before: int
    committed_after_withdrawal: int
    withdrawn_in: str
    eraser_kills: int
    left: int


def crawl_for_ever(work: Work, first: int, fenced: bool, is_registered: bool, pipe: Connection) -> None:
    """Step after step, from the first one given, until consent is refused; sends each step's name as it begins, and the
    time of each commit."""
    real = ControlLedger.commit_fence if fenced else lambda *arguments: nullcontext()

    @contextmanager
    def acknowledged(*arguments: Any) -> Iterator[None]:
        with real(*arguments):
            yield
        pipe.send(time.monotonic())

    ControlLedger.commit_fence = acknowledged
    if not is_registered:
        workers.registered = lambda *arguments: nullcontext()
    if not fenced:
        _switch_guards_off(acknowledged)
    for name, step in islice(cycle(STEPS.items()), first, None):
        pipe.send(name)
        try:
            step(work)
        except (PipelineError, OSError, duckdb.Error):
            if fenced:
                os._exit(0)


def _switch_guards_off(acknowledged: Callable[..., Any]) -> None:
    """The mutant: consent is never read again, and an erased tree can be made again."""

    def unguarded(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    for module in list(sys.modules.values()):
        if getattr(module, "make_folder", None) is GUARDED:
            module.make_folder = unguarded
    record = ControlLedger.current
    ControlLedger.require = lambda ledger, *arguments: record(ledger)
    collection.rules_fence = lambda layout, epoch, version: acknowledged()


GUARDED = durable.make_folder


def erase(home: Home) -> None:
    with suppress(PipelineError):
        run_erasure(home.deletion())
    os._exit(0)


def race(lived_in: Work, folder: Path, rng: random.Random, *, fenced: bool) -> Outcome:
    shutil.copytree(lived_in.settings.layout.root, folder, symlinks=True)
    work = replace(lived_in, settings=settings_of(lived_in.settings.data_connect_folder, folder))
    layout = work.settings.layout
    home = Home(layout, work.ledger.current().epoch)
    ours, theirs = FORK.Pipe(duplex=False)
    is_registered = fenced and rng.random() < 0.5
    first = rng.randrange(len(STEPS))
    crawl = FORK.Process(target=crawl_for_ever, args=(work, first, fenced, is_registered, theirs))
    crawl.start()
    theirs.close()
    try:
        events = [ours.recv() for _ in range(rng.randint(1, MOST_EVENTS))]
        events += _until_silent(ours, rng.uniform(0, 0.2))
        withdraw(layout, ADMIN, home.epoch, NOW)
        withdrawn_at = time.monotonic()
        kills = _kill_erasers(home, rng)
        verified = is_erased(carry_to_end(home.deletion()))
        assert verified or not fenced
        if fenced:
            crawl.join(60)
            assert not crawl.is_alive(), "the crawl goes on after the withdrawal"
        else:
            events += [ours.recv() for _ in range(2 * len(STEPS))]
    finally:
        crawl.kill()
        crawl.join()
    events += _until_silent(ours, 0)
    commits = [event for event in events if isinstance(event, float)]
    late = sum(at > withdrawn_at for at in commits)
    phase = [event for event in events if isinstance(event, str)][-1]
    result = verify_now(home.deletion())
    return Outcome(len(commits) - late, late, phase, kills, len(result["findings"]))


def _until_silent(pipe: Connection, seconds: float) -> list[object]:
    """What is sent until nothing comes for so long (a commit follows another by at most a few seconds)."""
    events: list[object] = []
    with suppress(EOFError):
        while pipe.poll(seconds):
            events.append(pipe.recv())
    return events


def _kill_erasers(home: Home, rng: random.Random) -> int:
    """Start erasers and kill those that are still at it after a random time; how many were killed."""
    kills = 0
    for _ in range(rng.randint(0, 2)):
        eraser = FORK.Process(target=erase, args=(home,))
        eraser.start()
        eraser.join(rng.uniform(0, 0.6))
        if eraser.is_alive():
            os.kill(eraser.pid, signal.SIGKILL)
            kills += 1
        eraser.join()
    return kills


def races(lived_in: Work, folder: Path, seed: int, count: int, *, fenced: bool) -> dict[str, Any]:
    rng = random.Random(seed)
    outcomes = [race(lived_in, folder / f"{seed}-{number}", rng, fenced=fenced) for number in range(count)]
    return {
        "seed": seed,
        "fenced": fenced,
        "races": count,
        "commits_before": sum(one.committed_before for one in outcomes),
        "commits_after_withdrawal": sum(one.committed_after_withdrawal for one in outcomes),
        "withdrawn_in": dict(Counter(one.withdrawn_in for one in outcomes)),
        "eraser_kills": sum(one.eraser_kills for one in outcomes),
        "races_with_leftovers": sum(one.left > 0 for one in outcomes),
    }


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """One month collected, published and backed up; each race takes a copy. Made in a process of its own, because one
    that has used an engine cannot be forked from."""
    folder = tmp_path_factory.mktemp("company")
    write_company(folder)
    work = consented(folder / "export", folder / "data")
    maker = FORK.Process(target=lambda: [step(work) for step in STEPS.values()])
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    return work


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_w3_a_withdrawal_wins_every_race_with_a_crawl(seed: int, lived_in: Work, tmp_path: Path, capsys: Any) -> None:
    result = races(lived_in, tmp_path, seed, 5, fenced=True)
    with capsys.disabled():
        print(json.dumps(result))
    assert result["commits_after_withdrawal"] == result["races_with_leftovers"] == 0
    assert result["commits_before"] > 0


def test_w3_the_same_race_is_lost_without_the_fence(lived_in: Work, tmp_path: Path, capsys: Any) -> None:
    result = races(lived_in, tmp_path, 5, 1, fenced=False)
    with capsys.disabled():
        print(json.dumps(result))
    assert result["commits_after_withdrawal"] > 0, result
    assert result["races_with_leftovers"] == 1, result


@pytest.mark.soak
def test_w3_a_withdrawal_wins_two_hundred_races_and_loses_ten_without_the_fence(
    lived_in: Work, tmp_path: Path, capsys: Any
) -> None:
    result = races(lived_in, tmp_path, 20261123, 200, fenced=True)
    mutant = races(lived_in, tmp_path, 10, 10, fenced=False)
    with capsys.disabled():
        print(json.dumps(result))
        print(json.dumps(mutant))
    assert result["commits_after_withdrawal"] == result["races_with_leftovers"] == 0
    assert result["eraser_kills"] >= 50
    assert set(result["withdrawn_in"]) == set(STEPS), "a withdrawal has come in every step"
    assert mutant["races_with_leftovers"] == mutant["races"]
