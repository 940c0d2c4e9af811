"""P9 and P10: what a person waits for before anything is computed, and the demo."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.context import Context
from benchmarks.measure import ROOT, BenchmarkError, Measurement, interleaved, median, run
from benchmarks.result import Bound, Peer, Result

IMPORTS = 9
"""Starting an interpreter is short, so its median needs more runs."""


def import_time(context: Context) -> Result:
    """P9: CPU seconds of `import relationship_pipeline.definitions` beside `import dagster`, each in a fresh process."""
    settings = {"RELATIONSHIP_DATA_DIR": str(context.folder / "p9")}
    measured = interleaved(
        context.rounds or IMPORTS,
        {
            "ours": lambda: run(["-c", "import relationship_pipeline.definitions"], settings=settings),
            "import dagster": lambda: run(["-c", "import dagster"]),
            "interpreter alone": lambda: run(["-c", "pass"]),
        },
    )
    ours, dagster, bare = (median(measured[name]) for name in measured)
    ratio = ours.cpu_seconds / dagster.cpu_seconds
    return Result(
        id="P9",
        title="import of the code location",
        figure=ours.cpu_seconds,
        unit="CPU s",
        target="at most 1.3 times `import dagster`",
        limit=1.3 * dagster.cpu_seconds,
        cost=ours,
        messages=None,
        peers={"import dagster": Peer(dagster.cpu_seconds, ratio, 1.3, "both with the interpreter's own start")},
        details={"interpreter_alone_cpu_seconds": round(bare.cpu_seconds, 3)},
    )


def demo(context: Context) -> Result:
    """P10: `relationship-pipeline demo` in an empty data directory, and when its first line appears."""
    folder = context.folder / "p10"
    command = [sys.executable, "-c", "from relationship_pipeline.cli import main; main()", "demo"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELATIONSHIP_")}
    environment |= {"PYTHONPATH": str(ROOT), "RELATIONSHIP_DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    cost, first_line, longest_silence = _watched(command, environment, folder)
    return Result(
        id="P10",
        title="demo, after installation",
        figure=cost.seconds,
        unit="s",
        target="at most 90 s, progress from the first second",
        limit=90,
        cost=cost,
        messages=None,
        bounds={"first line of progress": Bound(first_line, 1.0, "s")},
        details={"longest_silence_seconds": round(longest_silence, 1)},
    )


def _watched(command: list[str], environment: dict[str, str], folder: Path) -> tuple[Measurement, float, float]:
    """Run a command and note when it says something: cost, seconds to the first output, longest silence."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if child.stdout is None:
        raise BenchmarkError("the demo has no output to watch")
    said_at, text = [], b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select() and (chunk := os.read(child.stdout.fileno(), 65_536)):
            said_at.append(time.perf_counter() - started)
            text = (text + chunk)[-4096:]
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode != 0:
        last = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", text).decode("utf-8", "replace").strip().splitlines()
        raise BenchmarkError(f"demo failed: {last[-1].strip() if last else child.returncode}")
    moments = [0.0, *said_at, seconds]
    silence = max(after - before for before, after in pairwise(moments))
    cost = Measurement(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, {})
    return cost, said_at[0] if said_at else seconds, silence
