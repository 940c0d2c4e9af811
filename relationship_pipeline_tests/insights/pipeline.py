"""From an export folder to insights without Dagster or consent: what the tests of this room stand on."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from relationship_pipeline.domain.months import month_end, month_of
from relationship_pipeline.insights.build import build_contact_graph, build_health, build_kpis, build_who_knows_whom
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.lake.collect import (
    Collection,
    collect_emails,
    collect_meetings,
    collect_planned_meetings,
)
from relationship_pipeline.layout import Layout
from relationship_pipeline.settings import HealthSettings, Settings
from relationship_pipeline.sources.base import ReadScope
from relationship_pipeline.sources.crm_files import read_crm_files
from relationship_pipeline.sources.data_connect.source import DataConnectSource

EPOCH = "epoch-1"


@dataclass
class AllMembers:
    """Rules without any opt-out: every member's mailbox may be read."""

    readable: pa.Table
    hidden: pa.Table
    hidden_domains: pa.Table


def no_fence():
    return nullcontext()


def member_rules(directory):
    members = [row["user_id"] for row in directory.users.to_pylist() if row["is_member"]]
    nothing = pa.array([None] * len(members), pa.timestamp("us", tz="UTC"))
    return AllMembers(
        readable=pa.table({"mailbox": pa.array(members, pa.string()), "since": nothing, "until": nothing}),
        hidden=pa.table({"address": pa.array([], pa.string())}),
        hidden_domains=pa.table({"domain": pa.array([], pa.string())}),
    )


def people_table(directory):
    """The `people` table of consent's rules where nobody has opted out."""
    users = {row["user_id"]: row for row in directory.users.to_pylist()}
    rows = [
        {
            "address": row["address"],
            "user_id": row["user_id"],
            "in_scope": users[row["user_id"]]["is_member"],
            "may_introduce": users[row["user_id"]]["is_member"]
            and users[row["user_id"]]["account_enabled"] is not False,
            "display_name": users[row["user_id"]]["display_name"],
            "primary_address": users[row["user_id"]]["primary_address"],
            "hidden": False,
        }
        for row in directory.addresses.to_pylist()
    ]
    return pa.Table.from_pylist(
        rows,
        schema=pa.schema(
            [
                ("address", pa.string()),
                ("user_id", pa.string()),
                ("in_scope", pa.bool_()),
                ("may_introduce", pa.bool_()),
                ("display_name", pa.string()),
                ("primary_address", pa.string()),
                ("hidden", pa.bool_()),
            ]
        ),
    )


def _quiet(*_):
    pass


def collect(root, export, months, *, internal_domains, as_of, cap=8_000_000, order=None, crm=None, health=None):
    """Collect the months (in `order`) and the planned meetings; returns the context of builds."""
    settings = Settings(data_dir=root, batch_cap=cap, threads=1, memory_limit="1GiB", health=health or HealthSettings())
    layout = Layout(root)
    source = DataConnectSource(export, spill=root / "spill", threads=1, memory_limit="1GiB")
    directory = source.read_directory([])
    rules = member_rules(directory)
    collection = Collection(layout, EPOCH, rules, directory, settings, no_fence)
    scope = ReadScope(mailboxes=set(rules.readable["mailbox"].to_pylist()))
    stage = layout.epoch(EPOCH).stage
    layout.epoch(EPOCH).root.mkdir(parents=True, exist_ok=True)
    for month in order or months:
        collect_emails(collection, month, source.stage_emails(month, scope, stage, _quiet, _quiet))
        collect_meetings(collection, month, source.stage_meetings(month, scope, stage, _quiet, _quiet))
    running = month_of(as_of)
    if running in months:
        start = month_end(running)
        staged = source.stage_planned_meetings(start, start + timedelta(days=92), scope, stage, _quiet, _quiet)
        collect_planned_meetings(collection, start, start + timedelta(days=92), staged)
    return BuildContext(
        layout=layout.epoch(EPOCH),
        settings=settings,
        people=people_table(directory),
        internal_domains=pa.table({"domain": pa.array(internal_domains, pa.string())}),
        hidden_addresses=rules.hidden,
        hidden_domains=rules.hidden_domains,
        fence=no_fence,
        crm=read_crm_files(crm).tables if crm else {},
    )


def build_all(context, as_of):
    """Every table of insights as a list of dicts."""
    manifests = (
        build_kpis(context, as_of)
        | build_health(context, as_of)
        | build_who_knows_whom(context, as_of)
        | build_contact_graph(context, as_of)
    )
    return {table: read_table(context, table, manifest) for table, manifest in manifests.items()}


def read_table(context, table, manifest):
    return pq.read_table(manifest.paths(context.layout.insight(table))).to_pylist()
