"""An export is older than its reading: what it shows ends when it was written (B3, N5)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from relationship_pipeline import operations
from relationship_pipeline.domain.months import GRACE, month_end
from relationship_pipeline.operations import Work
from relationship_pipeline.publishing.connection import database_path
from relationship_pipeline_tests.operations.test_stage import ADA, BEN, CLOSED, RUNNING, Company, mail, write


class OldExport(Company):
    def write(self, written: datetime, *months: str) -> None:
        """An export of these months, written then."""
        write(self.folder, *(mail(box, month) for box in (ADA, BEN) for month in months))
        for path in (self.folder / "export").rglob("*.json"):
            os.utime(path, (written.timestamp(), written.timestamp()))

    @property
    def due(self) -> list[str]:
        return operations.refresh_months(self.settings, datetime.now(UTC))

    def published_as_of(self) -> datetime:
        operations.build_everything(Work(self.settings, self.said.append))
        with duckdb.connect(str(database_path(self.settings.layout.published, "salesperson")), read_only=True) as db:
            db.execute("set TimeZone = 'UTC'")
            ((as_of,),) = db.execute("select distinct as_of from contact_kpis").fetchall()
        return as_of


@pytest.fixture
def company(tmp_path: Path) -> OldExport:
    return OldExport(tmp_path)


def test_b3_a_month_is_closed_by_an_export_that_was_written_after_its_grace_however_late_it_is_read(company):
    company.write(month_end(CLOSED) + GRACE - timedelta(hours=1), CLOSED)
    company.collect(CLOSED)
    assert CLOSED in company.due, "its last emails may not have been there yet"
    company.write(month_end(CLOSED) + GRACE, CLOSED)
    company.collect(CLOSED)
    assert company.due == [RUNNING]


def test_b3_an_old_export_is_split_once_for_all_refreshes(company):
    company.write(month_end(CLOSED), CLOSED)
    company.collect(CLOSED)
    assert company.files_read() == 1
    company.collect(CLOSED)
    assert company.files_read() == 0


def test_n5_insights_are_for_the_time_of_the_export_and_the_run_says_so(company):
    written = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    company.write(written, CLOSED)
    company.collect(CLOSED)
    assert f"the export is of {written:%Y-%m-%d %H:%M} UTC: nothing younger is known" in company.said
    assert company.published_as_of() == written, "days without contact do not grow with the age of an export"


def test_n5_files_that_lost_their_times_are_as_old_as_their_youngest_email(company):
    company.write(datetime(1980, 1, 1, tzinfo=UTC), CLOSED)
    manifest = company.collect(CLOSED)
    assert manifest.shows_until == manifest.last_at


def test_w5_erasing_somebody_does_not_make_a_month_read(company):
    company.write(month_end(CLOSED), CLOSED)
    before = company.collect(CLOSED).shows_until
    operations.erase_person(Work(company.settings, company.said.append), BEN, everywhere=False)
    assert CLOSED in company.due
    assert company.published_as_of() == before
