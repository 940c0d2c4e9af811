"""Emails and meetings that the CRM says are regarding a record, whoever took part, none but us included (product.md 6).

A month keeps the single activities of the CRM's contacts and leads only. Others that the CRM names are few: each build
reads them from the lake by key and judges them by the models of every email and meeting.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from relationship_pipeline import schemas
from relationship_pipeline.domain.months import month_end, month_start
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.identification import Identification
from relationship_pipeline.insights.interactions import LakeMonth
from relationship_pipeline.insights.month import (
    MODELS,
    bound,
    count_emails,
    count_meetings,
    identify,
    join_neighbours,
    open_emails,
    see_emails,
)
from relationship_pipeline.insights.window import Window
from relationship_pipeline.insights.workbench import Workbench, scratch
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.layout import EpochLayout

if TYPE_CHECKING:
    import pyarrow as pa

REGARDING_MODELS = "relationship_pipeline.insights.models.regarding"


def open_listed(context: BuildContext, window: Window, bench: Workbench) -> None:
    """Tables `listed_emails` and `listed_meetings` of the window: rows as in `crm_emails` and `crm_meetings`, for what
    table `crm_regarding` names besides those. Raises BadLake."""
    engine = bench.engine
    engine.execute(sql(REGARDING_MODELS, "listed_tables")).fetchall()
    Workbench(engine, REGARDING_MODELS).table("listed_keys")
    if not bench.has_rows("listed_keys"):
        return
    context.progress("looking up what the CRM says is regarding its records")
    for lake in window.lake:
        lo, hi = max(month_start(lake.month), window.since), min(month_end(lake.month), window.as_of)
        for add in (_add_emails, _add_meetings):
            with scratch(engine, MODELS) as month:
                bound(month.engine, lo, hi)
                add(month, lake, window.who, context.layout)


def _find(month: Workbench, name: str, files: Iterable[Path], model: str, schema: pa.Schema) -> bool:
    """A table of the listed rows of these files; whether there are any."""
    month.attach("lake_rows", files, schema)
    Workbench(month.engine, REGARDING_MODELS).table(model, alias=name)
    return month.has_rows(name)


def _add_meetings(month: Workbench, lake: LakeMonth, who: Identification, layout: EpochLayout) -> None:
    if not _find(month, "month_meetings", lake.files.meetings, "listed_meeting_copies", schemas.MEETINGS):
        return
    lake.verify(layout)
    month.table("meeting_addresses", alias="month_addresses")
    _identify(month, who)
    count_meetings(month)
    month.view("crm_meetings")
    month.engine.sql(sql(REGARDING_MODELS, "listed_meetings")).insert_into("main.listed_meetings")


def _add_emails(month: Workbench, lake: LakeMonth, who: Identification, layout: EpochLayout) -> None:
    if not _find(month, "month_rows", lake.files.emails, "listed_copies", schemas.EMAIL):
        return
    lake.verify(layout)
    _find(month, "before_rows", lake.files.emails_before, "listed_copies", schemas.EMAIL)
    _find(month, "after_rows", lake.files.emails_after, "listed_copies", schemas.EMAIL)
    join_neighbours(month, lake.month, month_start(lake.month))
    open_emails(month)
    month.table("email_addresses", alias="month_addresses")
    _identify(month, who)
    see_emails(month)
    Workbench(month.engine, REGARDING_MODELS).table("sent_emails")
    count_emails(month)
    month.view("crm_emails")
    month.engine.sql(sql(REGARDING_MODELS, "listed_emails")).insert_into("main.listed_emails")


def _identify(month: Workbench, who: Identification) -> None:
    """As in every month, but that everybody outside counts as the CRM's contacts do."""
    identify(month, who)
    month.engine.execute("update persons set is_watched = not is_us").fetchall()
