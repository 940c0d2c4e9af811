"""Withdrawal against commits that go on, with the eraser killed at random (reliability.md 1.3, 7 no. 19).

Harness: a process commits months as fast as it can; at a random moment consent is withdrawn; erasers are started and
killed at random until one is left to finish; the committing process lives on for a while and is looked at again.
The same harness with fence and tree guard switched off must fail: otherwise it proves nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline import durable
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.durable import temp_path
from relationship_pipeline.erasure.run import is_erased, run_erasure, withdraw
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline.schemas import EMAIL
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, PEOPLE, Home, consented, email_rows
from relationship_pipeline_tests.erasure.motor import carry_to_end

FORK = multiprocessing.get_context("fork")


@dataclass
class Outcome:
    """What one trial showed."""

    committed_before: int
    committed_after_withdrawal: int
    eraser_kills: int
    left_files: int


def commit_for_ever(home: Home, fenced: bool, pipe: Any) -> None:
    """The crawl: one commit after the other, each acknowledged with its time, until consent is refused."""
    if not fenced:
        durable.make_folder = lambda folder: folder.mkdir(parents=True, exist_ok=True) or folder
    table = pa.Table.from_pylist(email_rows(PEOPLE, NOW), schema=EMAIL)
    fence = partial(ControlLedger(home.layout).commit_fence, home.epoch, Purpose.COLLECT) if fenced else nullcontext
    number = 0
    while True:
        number += 1
        month = f"2026-{number % 12 + 1:02d}"
        folder = home.tree.month("email", month)
        try:
            temp = temp_path(folder, ".parquet")
            pq.write_table(table, temp)
            parts = [adopt_part(temp, "email", table.num_rows)]
            commit_manifest(folder, epoch=home.epoch, table="email", month=month, files=parts, fence=fence)
        except ConsentRefused:
            break
        except OSError:
            if fenced:
                break
            continue
        pipe.send(time.monotonic())
    os._exit(0)


def erase(home: Home) -> None:
    with suppress(Refused):
        run_erasure(home.deletion())
    os._exit(0)


def trial(folder: Path, rng: random.Random, *, fenced: bool) -> Outcome:
    home = consented(folder)
    ours, theirs = FORK.Pipe(duplex=False)
    crawl = FORK.Process(target=commit_for_ever, args=(home, fenced, theirs))
    crawl.start()
    theirs.close()
    before = [ours.recv()]
    try:
        time.sleep(rng.uniform(0, 0.03))
        withdraw(home.layout, ADMIN, home.epoch, NOW)
        withdrawn_at = time.monotonic()
        kills = 0
        for _ in range(rng.randint(0, 2)):
            eraser = FORK.Process(target=erase, args=(home,))
            eraser.start()
            eraser.join(rng.uniform(0, 0.4))
            if eraser.is_alive():
                os.kill(eraser.pid, signal.SIGKILL)
                kills += 1
            eraser.join()
        verified = is_erased(carry_to_end(home.deletion()))
        if not fenced:
            time.sleep(0.05)
        crawl.join(1)
        files = [path for path in home.layout.epochs.rglob("*") if path.is_file()]
    finally:
        crawl.kill()
        crawl.join()
    while ours.poll():
        try:
            before.append(ours.recv())
        except EOFError:
            break
    assert verified or not fenced
    late = sum(at > withdrawn_at for at in before)
    return Outcome(len(before) - late, late, kills, len(files))


def races(folder: Path, seed: int, count: int, *, fenced: bool) -> dict[str, int]:
    rng = random.Random(seed)
    outcomes = [trial(folder / f"{seed}-{number}", rng, fenced=fenced) for number in range(count)]
    return {
        "seed": seed,
        "trials": count,
        "commits_before": sum(one.committed_before for one in outcomes),
        "commits_after_withdrawal": sum(one.committed_after_withdrawal for one in outcomes),
        "eraser_kills": sum(one.eraser_kills for one in outcomes),
        "trials_with_leftovers": sum(one.left_files > 0 for one in outcomes),
    }


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_w3_a_withdrawal_wins_every_race_with_a_crawl(seed, tmp_path, capsys):
    result = races(tmp_path, seed, 5, fenced=True)
    with capsys.disabled():
        print(json.dumps(result))
    assert result["commits_after_withdrawal"] == result["trials_with_leftovers"] == 0
    assert result["commits_before"] >= 5


def test_w3_the_same_race_is_lost_without_the_fence(tmp_path):
    result = races(tmp_path, 5, 1, fenced=False)
    assert result["commits_after_withdrawal"] > 0, result
    assert result["trials_with_leftovers"] == 1, result


@pytest.mark.soak
def test_w3_a_withdrawal_wins_two_hundred_races(tmp_path, capsys):
    result = races(tmp_path, 20261123, 200, fenced=True)
    with capsys.disabled():
        print(json.dumps(result))
    assert result["commits_after_withdrawal"] == result["trials_with_leftovers"] == 0
    assert result["eraser_kills"] >= 50
