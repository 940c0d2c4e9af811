"""The work of a command: this data directory's settings, progress lines on stderr."""

from __future__ import annotations

import click

from relationship_pipeline import data_dir
from relationship_pipeline.operations import Work
from relationship_pipeline.settings import Settings


def open_work(settings: Settings | None = None) -> Work:
    """`settings` where the command has read them already."""
    return Work(settings or data_dir.open_settings(), lambda line: click.echo(line, err=True))
