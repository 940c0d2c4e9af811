"""The command line `relationship-pipeline`: parse, call the rooms, print. Exit 0 done, 1 refused or failed with one line
on stderr, 2 wrong usage (interfaces.md 3)."""

from __future__ import annotations

import sys

import click

from relationship_pipeline.cli import consent as consent_commands
from relationship_pipeline.cli import demo as demo_commands
from relationship_pipeline.cli import doctor as doctor_commands
from relationship_pipeline.cli import erase as erase_commands
from relationship_pipeline.cli import insights as insight_commands
from relationship_pipeline.cli import opt_out as opt_out_commands
from relationship_pipeline.cli import run as run_commands
from relationship_pipeline.cli import simulate as simulate_commands
from relationship_pipeline.cli import tie as tie_commands
from relationship_pipeline.data_dir import restrict_modes
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.lake.engine import is_disk_full


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="relationship-pipeline")
def cli() -> None:
    """Relationship intelligence for Microsoft 365, on your own machines.

    Settings come from RELATIONSHIP_… variables and <data dir>/settings.toml; `init` writes a commented one.
    """


for group in (
    demo_commands,
    run_commands,
    consent_commands,
    opt_out_commands,
    insight_commands,
    tie_commands,
    erase_commands,
    doctor_commands,
    simulate_commands,
):
    for command in group.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    restrict_modes()
    try:
        cli(standalone_mode=True)
    except PipelineError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if not is_disk_full(error):
            raise
        click.echo(
            "error: the disk is full: what stood before still stands; free some space and run this again", err=True
        )
        sys.exit(1)
