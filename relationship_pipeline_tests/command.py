"""The command line as a user meets it: a process of its own, its exit code, what it prints where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

PROGRAM = "from relationship_pipeline.cli import main; main()"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `relationship-pipeline ARGUMENTS` with these further environment variables."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )


def succeed(*arguments: str, **environment: str) -> str:
    """Run and return stdout; fails the test with stderr when the exit code is not 0."""
    done = run(*arguments, **environment)
    assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def refuse(*arguments: str, **environment: str) -> str:
    """Run and return the one line on stderr of a refusal (exit 1, no traceback)."""
    done = run(*arguments, **environment)
    assert done.returncode == 1, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: "), done.stderr
    return line


def rows(sql: str, *, role: str = "sales_manager", **environment: str) -> list[dict[str, Any]]:
    """The rows of a query on a role's published database."""
    answer: list[dict[str, Any]] = json.loads(succeed("query", sql, "--role", role, "--format", "json", **environment))
    return answer
