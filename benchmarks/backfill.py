"""A backfill of 12 months under a memory limit, and what a second backfill of one month computes again.

    python -m benchmarks.backfill --messages 96000000 --limit 6 --folder FOLDER

The lake's months are generated (a year of export folders would not fit the disk); what comes after collecting runs as a
backfill runs it: each month's interactions, then all insights and publishing. Then one month is collected again with other
rows, and the same once more. Exit code 1 when a process needed more memory than the limit, or when a month was computed
again that does not border on the one that changed.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.collecting import environment_of
from benchmarks.generate import replace_emails, settings_of, write_lake
from benchmarks.measure import Measurement, run
from benchmarks.tenant import Tenant
from benchmarks.year import AS_OF, FULL, Year, forget_insights
from relationship_pipeline.domain.months import MONTHS_OF_HISTORY, add_months, month_of

GIB = 2**30
ENGINE_SHARE = 0.55
"""Of the limit, what DuckDB may use: the rest is for Python, Arrow and what DuckDB does not account for."""
OTHER_ROWS = 0.98
"""Part of its emails that the month has when it is collected again."""


def backfill(year: Year, limit_gib: float) -> dict[str, Any]:
    """Interactions of all months, insights and publishing, each step in a process of its own: costs, peaks, and the
    months that were computed."""
    settings = environment_of(year.data_dir, AS_OF, memory=f"{int(limit_gib * 1024 * ENGINE_SHARE)}MiB")
    before = _parts(year)
    steps = {
        "derive": run(["-m", "benchmarks.work", "derive", *year.months], settings=settings),
        "insights": run(["-m", "benchmarks.work", "insights"], settings=settings),
    }
    after = _parts(year)
    return {
        "steps": {name: _cost(step) for name, step in steps.items()},
        "cpu_seconds": round(sum(step.cpu_seconds for step in steps.values()), 1),
        "peak_gib": round(max(step.peak_rss_bytes for step in steps.values()) / GIB, 2),
        "computed": sorted(month for month in after if after[month] != before.get(month)),
    }


def _parts(year: Year) -> dict[str, list[str]]:
    """The files of each month's interactions: named by their content, so other rows are other files."""
    return {
        path.parent.name.removeprefix("month="): [file["name"] for file in json.loads(path.read_text())["files"]]
        for path in year.lake.glob("interactions/*/manifest.json")
    }


def _cost(measurement: Measurement) -> dict[str, float]:
    return {
        "seconds": round(measurement.seconds, 1),
        "cpu_seconds": round(measurement.cpu_seconds, 1),
        "peak_gib": round(measurement.peak_rss_bytes / GIB, 2),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--messages", default=FULL, show_default=True, type=click.IntRange(1_000), help="Emails in the year.")
@click.option("--limit", default=6.0, show_default=True, help="GiB that no process may exceed.")
@click.option("--seed", default=7, show_default=True, help="Of the generated data.")
@click.option("--folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where to generate.")
def main(messages: int, limit: float, seed: int, folder: Path) -> None:
    """Run both backfills and print what they cost; the generated year is kept, but for its sixth month."""
    data_dir = folder.resolve() / f"backfill-{messages}-{seed}"
    tenant = Tenant(messages // MONTHS_OF_HISTORY, seed)
    settings = settings_of(data_dir, AS_OF)
    epoch = write_lake(settings, tenant, MONTHS_OF_HISTORY)
    year = Year(data_dir, messages, tenant, epoch.lake, {})
    shutil.rmtree(epoch.lake / "interactions", ignore_errors=True)
    forget_insights(year)
    first = backfill(year, limit)
    month = add_months(month_of(AS_OF), -MONTHS_OF_HISTORY // 2)
    replace_emails(settings, tenant, month, int(tenant.emails * OTHER_ROWS))
    second = backfill(year, limit)
    may_change = {add_months(month, step) for step in (-1, 0, 1)}
    ended_well = (
        first["computed"] == year.months
        and max(first["peak_gib"], second["peak_gib"]) <= limit
        and month in second["computed"]
        and set(second["computed"]) <= may_change
    )
    answer = {"limit_gib": limit, "first": first, "collected_again": month, "second": second, "met": ended_well}
    click.echo(json.dumps(answer, indent=1))
    sys.exit(0 if ended_well else 1)


if __name__ == "__main__":
    main()
