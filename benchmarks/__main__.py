"""`python -m benchmarks ID`: run one benchmark of performance.md and print its table or its JSON."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from benchmarks.context import Context
from benchmarks.measure import BenchmarkError
from benchmarks.result import Result

CASES = {
    "P1": "collecting:graph_crawl",
    "P2": "collecting:data_connect_import",
    "P3": "insights:interactions",
    "P4": "insights:insights_and_publishing",
    "P5": "insights:daily_refresh",
    "P6": "growth:growth",
    "P7": "insights:look_up",
    "P8": "deletion:deletion",
    "P9": "start:import_time",
    "P10": "start:demo",
    "TENANT": "collecting:large_tenant",
}


def _case(name: str) -> Callable[[Context], Result]:
    module, _, function = CASES[name].partition(":")
    return getattr(import_module(f"benchmarks.{module}"), function)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("name", metavar="ID", type=click.Choice(list(CASES), case_sensitive=False))
@click.option("--messages", type=click.IntRange(1_000), help="How much to generate.  [default: the benchmark's own]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option(
    "--rounds", type=click.IntRange(1), help="Runs of each side, interleaved.  [default: 3; 1 above 2 M messages]"
)
@click.option("--seed", default=7, show_default=True, help="Of the generated data.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to generate; kept, and used again where it holds the same data.  [default: a temporary folder]",
)
@click.option("--peer-python", default=sys.executable, help="Interpreter that has the extra `benchmarks`.")
def main(
    name: str, messages: int | None, as_json: bool, rounds: int | None, seed: int, folder: Path | None, peer_python: str
) -> None:
    """Measure one row of the table of targets, P1 to P10, or TENANT: the crawl of 10,000 mailboxes."""
    home = folder or Path(tempfile.mkdtemp(prefix="relationship-benchmark-"))
    home.mkdir(parents=True, exist_ok=True)
    context = Context(home.resolve(), messages, rounds, seed, peer_python)
    try:
        result = _case(name.upper())(context)
    except BenchmarkError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)
    if as_json:
        click.echo(result.to_json())
    else:
        result.print()


if __name__ == "__main__":
    main()
