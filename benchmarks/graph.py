"""The contact graph at full size: exports of all of it, and warm paths to single contacts.

    python -m benchmarks.graph --messages 96000000 --folder FOLDER

Asks the published database of the year that P4 to P8 use, which is generated, derived and published where it is not there.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.context import Context
from benchmarks.measure import run
from benchmarks.year import FULL, ensure_published, open_year

MIB = 2**20
LOOK_UPS = 100


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--messages", default=FULL, show_default=True, type=click.IntRange(12_000), help="Emails in the year.")
@click.option("--seed", default=7, show_default=True, help="Of the generated data.")
@click.option("--folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where to generate.")
def main(messages: int, seed: int, folder: Path) -> None:
    """Export the graph in both formats and look paths up, each in a process of its own; prints one JSON object."""
    context = Context(folder.resolve(), messages, None, seed)
    year = open_year(context, messages)
    ensure_published(year)
    answer: dict[str, object] = {"messages": messages}
    for suffix in (".parquet", ".graphml"):
        target = context.folder / f"graph{suffix}"
        measured = run(["-m", "benchmarks.work", "export", str(target)], settings=year.settings)
        answer[f"export {suffix}"] = {
            **measured.answer,
            "peak_mib": measured.peak_rss_bytes // MIB,
            "mb_written": sum(path.stat().st_size for path in context.folder.glob("graph*")) // 10**6,
        }
        for path in context.folder.glob("graph*"):
            path.unlink()
    measured = run(["-m", "benchmarks.work", "paths", str(LOOK_UPS)], settings=year.settings)
    answer["paths"] = {**measured.answer, "peak_mib": measured.peak_rss_bytes // MIB}
    click.echo(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
