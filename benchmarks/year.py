"""A data directory with a generated year, made once for a size and used by P4, P5, P7 and P8."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.collecting import environment_of
from benchmarks.context import Context
from benchmarks.generate import settings_of, write_lake
from benchmarks.measure import Measurement, run
from benchmarks.tenant import Tenant
from relationship_pipeline.domain.months import MONTHS_OF_HISTORY, add_months, month_of, month_range
from relationship_pipeline.insights.interactions import model_version
from relationship_pipeline.lake.manifest import read_manifest

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
FULL = 96_000_000
"""Emails of a year at the cap, the size that the targets are for."""


@dataclass(frozen=True)
class Year:
    """`emails` in all, a twelfth of them in each month. `derived` is what deriving all months cost."""

    data_dir: Path
    emails: int
    tenant: Tenant
    lake: Path
    derived: Mapping[str, Any]

    @property
    def months(self) -> list[str]:
        running = month_of(AS_OF)
        return month_range(add_months(running, -MONTHS_OF_HISTORY), add_months(running, -1))

    @property
    def settings(self) -> dict[str, str]:
        return environment_of(self.data_dir, AS_OF)

    def lake_files(self, table: str) -> list[str]:
        """Files of the table's rows in all months collected."""
        folders = sorted((self.lake / table).iterdir())
        manifests = [(folder, read_manifest(folder)) for folder in folders]
        return [str(path) for folder, manifest in manifests if manifest is not None for path in manifest.paths(folder)]

    @property
    def email_files(self) -> list[str]:
        """Of the months of the year alone."""
        named = [f"/month={month}/" for month in self.months]
        return [path for path in self.lake_files("email") if any(name in path for name in named)]

    @property
    def published(self) -> Path:
        return self.lake.parent / "published"

    @property
    def scale(self) -> float:
        return FULL / self.emails


def open_year(context: Context, emails: int) -> Year:
    """The year of this size in the benchmark's folder: lake generated, interactions derived, nothing built."""
    data_dir = context.folder / f"year-{emails}-{context.seed}"
    tenant = Tenant(emails // MONTHS_OF_HISTORY, context.seed)
    epoch = write_lake(settings_of(data_dir, AS_OF), tenant, MONTHS_OF_HISTORY)
    year = Year(data_dir, emails, tenant, epoch.lake, {})
    record = context.folder / f"{data_dir.name}.{model_version()}.json"
    if not record.exists():
        shutil.rmtree(epoch.lake / "interactions", ignore_errors=True)
        record.write_text(
            json.dumps(as_record(run(["-m", "benchmarks.work", "derive", *year.months], settings=year.settings)))
        )
    return Year(data_dir, emails, tenant, epoch.lake, json.loads(record.read_text()))


def forget_insights(year: Year) -> None:
    """Take the 12-month tables and what is published away, so that they are built again."""
    shutil.rmtree(year.lake.parent / "insights", ignore_errors=True)
    for path in year.published.iterdir():
        path.unlink()


def ensure_published(year: Year) -> None:
    """Build and publish where nothing is published yet."""
    if not any(year.published.iterdir()):
        run(["-m", "benchmarks.work", "insights"], settings=year.settings)


def as_record(measurement: Measurement) -> dict[str, Any]:
    return {
        "seconds": round(measurement.seconds, 2),
        "cpu_seconds": round(measurement.cpu_seconds, 2),
        "peak_rss_bytes": measurement.peak_rss_bytes,
    }
