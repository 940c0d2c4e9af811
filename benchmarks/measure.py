"""Measuring whole processes: wall time, CPU seconds and peak memory of a command, its children included."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class BenchmarkError(Exception):
    """Says what is missing or what failed."""


@dataclass(frozen=True)
class Measurement:
    """One run of one command. `answer` is the JSON object on its last line of stdout, empty where it printed none."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    answer: Mapping[str, Any]


def run(
    arguments: list[str], *, settings: Mapping[str, str] | None = None, python: str = sys.executable
) -> Measurement:
    """Run `python arguments` to its end. Raises BenchmarkError with the last lines of its stderr.

    `wait4` accounts for the process and the children that it waited for; `settings` are `RELATIONSHIP_…` variables, and
    no others of that prefix are passed on.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELATIONSHIP_")}
    environment |= {"PYTHONPATH": str(ROOT), **(settings or {})}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        started = time.perf_counter()
        child = subprocess.Popen([python, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=complaints)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said = " / ".join(_last_lines(complaints, 12)) or child.returncode
            raise BenchmarkError(f"{' '.join(arguments[:3])} failed: {said}")
        last = "".join(_last_lines(output, 1))
    return Measurement(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_rss_bytes=usage.ru_maxrss * 1024,
        answer=json.loads(last) if last.startswith("{") else {},
    )


def interleaved(rounds: int, runs: Mapping[str, Callable[[], Measurement]]) -> dict[str, list[Measurement]]:
    """Run all sides in turn, `rounds` times, so that a busy moment of the machine hits all of them alike."""
    measured: dict[str, list[Measurement]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, once in runs.items():
            measured[name].append(once())
    return measured


def median(measurements: list[Measurement]) -> Measurement:
    """Medians of times, the largest peak, the answer of the median run by CPU time."""
    by_cpu = sorted(measurements, key=lambda one: one.cpu_seconds)
    return Measurement(
        seconds=statistics.median(one.seconds for one in measurements),
        cpu_seconds=statistics.median(one.cpu_seconds for one in measurements),
        peak_rss_bytes=max(one.peak_rss_bytes for one in measurements),
        answer=by_cpu[len(by_cpu) // 2].answer,
    )


def _last_lines(file: Any, count: int) -> list[str]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65_536))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return [line.strip() for line in lines[-count:]]
