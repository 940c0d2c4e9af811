"""The project's side of the benchmarks, each piece in a process of its own: `python -m benchmarks.work PIECE …`.

Settings come from the environment, as they do for every entry point. The last line of stdout is a JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from relationship_pipeline import operations
from relationship_pipeline.operations import Work
from relationship_pipeline.settings import load_settings


def collect(work: Work, month: str) -> dict[str, Any]:
    """Read one month of emails from the source into the lake."""
    return dict(operations.collect_emails(work, month).quality)


def derive(work: Work, *months: str) -> dict[str, Any]:
    """Derive the interactions of some months."""
    return {month: operations.derive_interactions(work, month).rows for month in months}


PIECES: dict[str, Callable[..., dict[str, Any]]] = {"collect": collect, "derive": derive}


def main() -> None:
    name, *arguments = sys.argv[1:]
    work = Work(load_settings(), lambda line: print(line, file=sys.stderr))
    print(json.dumps(PIECES[name](work, *arguments), default=str))


if __name__ == "__main__":
    main()
