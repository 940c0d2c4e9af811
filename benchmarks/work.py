"""The project's side of the benchmarks, each piece in a process of its own: `python -m benchmarks.work PIECE …`.

Settings come from the environment, as they do for every entry point. The last line of stdout is a JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
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


def crawl(work: Work, month: str, stage: str) -> dict[str, Any]:
    """Stage one month of every mailbox of the directory, without a lake."""
    from relationship_pipeline.sources.base import ReadScope
    from relationship_pipeline.sources.graph.source import GraphSource

    source = GraphSource(work.settings.graph)
    everyone = source.read_directory([]).users.column("user_id").to_pylist()
    staged = source.stage_emails(month, ReadScope(everyone), Path(stage), lambda: None, work.report)
    return {
        "walked": staged.walked_copies,
        "expected": staged.expected_copies,
        "mailboxes": staged.mailboxes["done"],
        "files": len(staged.files),
    }


PIECES: dict[str, Callable[..., dict[str, Any]]] = {"collect": collect, "crawl": crawl, "derive": derive}


def main() -> None:
    name, *arguments = sys.argv[1:]
    work = Work(load_settings(), lambda line: print(line, file=sys.stderr))
    print(json.dumps(PIECES[name](work, *arguments), default=str))


if __name__ == "__main__":
    main()
