"""Kill a process at a random time, or kill or fail it at its n-th file-system call below a folder.

Random kills do not reach sub-millisecond gaps such as the one between a part and its manifest (reliability.md 5.2), so
this counts: every open for writing, rename, unlink, mkdir and fsync that Python makes below the folder is one call. What
DuckDB writes by itself lies between two of these.

`python -m relationship_pipeline_tests.faults` is the child: it imports everything once, then forks one trial a request,
so that a kill costs milliseconds and not an interpreter start.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "shutil.rmtree"}


@dataclass(frozen=True)
class Trial:
    """How one run of the work ended: its exit status (negative: the signal), calls made, and the last call's phase."""

    status: int
    calls: int
    phase: str


class Counter:
    """Counts calls below `root` and, at call `at`, kills this process or raises the error."""

    def __init__(self, root: Path, at: int | None, fault: str, journal: int) -> None:
        self.root, self.at, self.fault, self.journal = str(root), at, fault, journal
        self.calls, self.armed = 0, True

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not self.armed:
            return
        path = arguments[0]
        if event == "open" and (not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        self.count(event, path)

    def fsync(self, descriptor: int) -> None:
        if self.armed:
            self.count("os.fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def count(self, event: str, path: object) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.root):
            return
        self.calls += 1
        if self.at is not None and self.calls > self.at:
            return  # what an error was answered with is not what was hit
        phase = f"{event} {describe(Path(os.fspath(path)).relative_to(self.root))}"
        self.armed = False
        os.pwrite(self.journal, json.dumps({"calls": self.calls, "phase": phase}).encode().ljust(256), 0)
        self.armed = True
        if self.calls == self.at:
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(getattr(errno, self.fault), os.strerror(getattr(errno, self.fault)))


def describe(path: Path) -> str:
    """The kind of path a call touched, without ids or hashes: what a report of phases counts by."""
    parts = ["<epoch>" if part.startswith("e0") else part for part in path.parts[:-1]]
    name = path.name
    kind = (
        ".tmp-*" if name.startswith(".tmp-") else "part-*" if name.startswith("part-") else name if "." in name else "*"
    )
    return "/".join([*parts[:4], kind])


def run_here(work: Callable[[], None], root: Path, at: int | None, fault: str, journal: Path) -> NoReturn:
    """Run the work in this (forked) process with the fault armed; exit 0 done, 3 when an error came out of it."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT)
    counter = Counter(root, at, fault, descriptor)
    real_fsync = os.fsync

    def fsync(target: int) -> None:
        counter.fsync(target)
        real_fsync(target)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(counter.hook)
    status = 0
    try:
        work()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = 3
    counter.armed = False
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@dataclass
class Forker:
    """The warm child: each trial is a fork of it."""

    process: subprocess.Popen[str]
    journal: Path

    def killed_after(self, seconds: float, work: str, environment: dict[str, str]) -> str | None:
        """Run `work` and kill -9 its process group after so long; what it had said, None where it ended before."""
        said = self.journal.with_suffix(".said")
        answer = self._ask({"work": work, "environment": environment, "seconds": seconds, "said": str(said)})
        return None if answer["ended"] else said.read_text()

    def trial(
        self, work: str, root: Path, environment: dict[str, str], at: int | None = None, fault: str = "kill"
    ) -> Trial:
        """Run `work` (a name in WORK) with `environment`; `at` None runs it undisturbed and counts its calls."""
        self.journal.unlink(missing_ok=True)
        request = {"work": work, "root": str(root), "environment": environment, "at": at, "fault": fault}
        status = self._ask({**request, "journal": str(self.journal)})["status"]
        noted = json.loads(self.journal.read_bytes() or b"{}") if self.journal.exists() else {}
        return Trial(status=status, calls=noted.get("calls", 0), phase=noted.get("phase", "before the first call"))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def forker(folder: Path) -> Iterator[Forker]:
    repository = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "relationship_pipeline_tests.faults"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
    )
    try:
        yield Forker(process, folder / "journal.json")
    finally:
        process.kill()
        process.communicate()


def collect_month() -> None:
    """Collect the emails and meetings of the month that FAULT_MONTH names and derive its interactions."""
    from relationship_pipeline import operations
    from relationship_pipeline.data_dir import open_settings

    work = operations.Work(open_settings(), lambda line: None)
    month = os.environ["FAULT_MONTH"]
    operations.collect_emails(work, month)
    operations.collect_meetings(work, month)
    operations.derive_interactions(work, month)


def publish_insights() -> None:
    from relationship_pipeline import operations
    from relationship_pipeline.data_dir import open_settings

    work = operations.Work(open_settings(), lambda line: None)
    for step in (
        operations.build_kpis,
        operations.build_health,
        operations.build_who_knows_whom,
        operations.build_contact_graph,
        operations.publish,
    ):
        step(work)


def erase() -> None:
    from relationship_pipeline_tests.erasure.motor import carry_on

    carry_on()


def backfill() -> None:
    """The command `backfill` over the month that FAULT_MONTH names, as a user runs it."""
    from relationship_pipeline.cli import main

    month = os.environ["FAULT_MONTH"]
    sys.argv = ["relationship-pipeline", "backfill", "--from", month, "--to", month]
    main()


WORK: dict[str, Callable[[], None]] = {
    "backfill": backfill,
    "collect_month": collect_month,
    "publish_insights": publish_insights,
    "erase": erase,
}


def serve() -> None:
    """Read requests from stdin, fork a trial for each, answer how it ended on stdout."""
    import dagster  # noqa: F401
    import duckdb  # noqa: F401
    import pandas  # noqa: F401 - DuckDB asks for it
    import pyarrow.parquet  # noqa: F401

    from relationship_pipeline import operations  # noqa: F401
    from relationship_pipeline.insights import build  # noqa: F401
    from relationship_pipeline.insights.accounts import registrable_domain
    from relationship_pipeline.lake import collect  # noqa: F401
    from relationship_pipeline.orchestration import run  # noqa: F401
    from relationship_pipeline.publishing import publish  # noqa: F401
    from relationship_pipeline.sources.data_connect import source  # noqa: F401

    registrable_domain("example.com")  # reads the public suffix list
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            start_trial(request)
        ended = True
        if request.get("seconds") is not None:
            ended = signal.sigtimedwait({signal.SIGCHLD}, request["seconds"]) is not None
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "ended": ended}), flush=True)


def start_trial(request: dict[str, Any]) -> NoReturn:
    """Become the trial: a process group of its own, with nothing of the server's standard streams but stderr."""
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    if "said" in request:
        os.dup2(os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(2, 1)
    os.environ.update(request["environment"])
    os.umask(0o077)
    work = WORK[request["work"]]
    if "journal" in request:
        run_here(work, Path(request["root"]), request["at"], request["fault"], Path(request["journal"]))
    try:
        work()
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve()
