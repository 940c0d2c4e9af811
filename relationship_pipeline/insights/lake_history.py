"""What the lake holds of all its months, as the messages and meetings that `evaluate` measures on (K8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from relationship_pipeline.domain.months import month_end, month_start
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.identification import Identification, identification
from relationship_pipeline.insights.interactions import lake_month
from relationship_pipeline.insights.month import (
    MODELS,
    MonthFiles,
    attach_emails,
    bound,
    count_meetings,
    identify,
    join_neighbours,
    open_emails,
    open_meetings,
    see_emails,
)
from relationship_pipeline.insights.workbench import Workbench, scratch
from relationship_pipeline.lake.engine import sql

if TYPE_CHECKING:
    import duckdb

HISTORY_MODELS = "relationship_pipeline.insights.models.history"


@dataclass(frozen=True)
class LakeHistory:
    """Relations of `connection`, closed with it. `messages`: message_id, sent_at, sender, recipients, conversation;
    each counted email of the lake once. `meetings`: meeting_id, start_at, organizer, attendees. Addresses are N1; a user
    in scope has one, the primary address."""

    connection: duckdb.DuckDBPyConnection
    messages: duckdb.DuckDBPyRelation
    meetings: duckdb.DuckDBPyRelation


@contextmanager
def lake_history(context: BuildContext) -> Iterator[LakeHistory]:
    """The history of all collected months, under one memory limit. Raises BadLake."""
    # The CRM is left aside: the measure is about addresses, and so is every baseline.
    who, _ = identification(replace(context, crm={}))
    with context.engine() as engine:
        engine.execute(sql(HISTORY_MODELS, "history_tables")).fetchall()
        for month in _collected_months(context):
            context.progress(f"{month}: reading")
            lake = lake_month(context, month)
            lake.verify(context.layout)
            files = lake.files
            with scratch(engine, MODELS) as bench:
                _add_messages(bench, files, who)
            with scratch(engine, MODELS) as bench:
                _add_meetings(bench, files, who)
        yield LakeHistory(engine, engine.table("history.messages"), engine.table("history.meetings"))


def _collected_months(context: BuildContext) -> list[str]:
    folders = [folder for table in ("email", "meetings") for folder in (context.layout.lake / table).glob("month=*")]
    return sorted({folder.name.removeprefix("month=") for folder in folders})


def _add_messages(bench: Workbench, files: MonthFiles, who: Identification) -> None:
    start = month_start(files.month)
    bound(bench.engine, start, month_end(files.month))
    attach_emails(bench, files)
    join_neighbours(bench, files.month, start)
    open_emails(bench)
    bench.table("email_addresses", alias="month_addresses")
    who.find_sides(bench)
    see_emails(bench)
    history = Workbench(bench.engine, HISTORY_MODELS)
    history.table("evaluated_names")
    bench.engine.sql(sql(HISTORY_MODELS, "history_messages")).insert_into("history.messages")


def _add_meetings(bench: Workbench, files: MonthFiles, who: Identification) -> None:
    opened = open_meetings(bench.engine, files.meetings, month_start(files.month), month_end(files.month))
    identify(opened, who)
    count_meetings(opened)
    bench.engine.sql(sql(HISTORY_MODELS, "history_meetings")).insert_into("history.meetings")
