"""A small company whose mail is collected and published by the same steps as the assets', without Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relationship_pipeline import operations
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentLevel
from relationship_pipeline.operations import Work
from relationship_pipeline.settings import Settings, load_settings
from relationship_pipeline_tests.end_to_end.small_company import AS_OF, MONTHS


def quiet(line: str) -> None:
    """Where progress lines go."""


def settings_of(export: Path, data: Path) -> Settings:
    """Settings that read an export which `write_company` wrote."""
    return load_settings(
        data_dir=data,
        source="data_connect",
        data_connect_dir=export,
        as_of=AS_OF,
        threads=1,
        memory_limit="512MiB",
    )


def consented(export: Path, data: Path) -> Work:
    """A data directory under a live consent to read the export."""
    settings = settings_of(export, data)
    prepare(settings)
    operations.provide_consent(settings, "admin@contoso.com", ConsentLevel.IDENTIFIABLE, ())
    return Work(settings, quiet)


def collect(work: Work, months: Sequence[str] = MONTHS) -> None:
    operations.read_directory(work)
    operations.read_crm(work)
    for month in months:
        operations.collect_emails(work, month)
        operations.collect_meetings(work, month)
        operations.derive_interactions(work, month)


def collect_and_publish(work: Work, months: Sequence[str] = MONTHS) -> None:
    collect(work, months)
    operations.build_everything(work)
