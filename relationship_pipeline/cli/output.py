"""How commands speak: one JSON document on stdout with --json, else lines for people; progress always on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def iso(instant: datetime | None) -> str | None:
    """ISO 8601 in UTC, seconds, with Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if instant else None


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, default=_plain))


def outsiders(text: Any) -> Text:
    """Text that people outside chose (names): shown as it is, never as markup, without control characters."""
    from relationship_pipeline.publishing.formats import visible

    return Text(visible(str(text)))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return str(value)


@contextmanager
def progress(expected: int | None = None) -> Iterator[Callable[[str], None]]:
    """A sink for progress lines: a live bar on a terminal, plain lines elsewhere; on stderr either way.

    Lines that begin with `month ` advance the bar.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: click.echo(line, err=True)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), BarColumn(bar_width=30), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=expected)

        def show(line: str) -> None:
            bar.update(task, description=line, advance=1 if line.startswith("month ") else 0)

        yield show
