"""Building insights for one `as_of`: which models, in which order, into which tables of `insights/`.

Each function makes sure that the months of the window are fresh, computes only when an input has changed, and commits
through the fence. The caller lets one build work at a time. What a row is stands in the models' headers; the columns in
schemas.PUBLISHED.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline import schemas
from relationship_pipeline.consent.tie_marks import marks_digest
from relationship_pipeline.domain.health import DEFAULT_CONSTANTS as HEALTH
from relationship_pipeline.domain.months import month_end, month_start, planned_until, window_months
from relationship_pipeline.domain.ties import DEFAULT_CONSTANTS
from relationship_pipeline.durable import make_folder
from relationship_pipeline.insights import month as month_models
from relationship_pipeline.insights.batches import month_records
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.crm_people import all_addresses
from relationship_pipeline.insights.crm_records import crm_digest, register_crm
from relationship_pipeline.insights.identification import identification
from relationship_pipeline.insights.interactions import refresh_month
from relationship_pipeline.insights.regarding import open_listed
from relationship_pipeline.insights.stored import STORED
from relationship_pipeline.insights.window import Window, open_window
from relationship_pipeline.insights.workbench import Workbench, models_digest
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.lake.manifest import DataFile, Manifest
from relationship_pipeline.lake.reader import standing_table
from relationship_pipeline.lake.writer import commit_manifest, write_part

if TYPE_CHECKING:
    import pyarrow as pa

MODELS = "relationship_pipeline.insights.models.year"
SHOWN_TIES = 5
"""K1."""

PAIR_KINDS = ("email_pairs", "meeting_pairs")
PAIRS_AT_ONCE = 10_000_000
"""Rows of months of which the pairs are summed slice by slice, each type of record by itself: half a GiB of sums."""
TIED_TYPES = ("contact", "account", "colleague")
RANKED_TYPES = ("account", "contact", "lead", "opportunity")
"""In the order of names, for the files of `daily_activity` follow one another as its rows are sorted."""
AFTER_ALL = chr(sys.maxunicode)
"""Sorts after every id."""
KEYS = 2**64
"""Of records."""

KPI_TABLES = (
    "contact_kpis", "account_kpis", "opportunity_kpis", "lead_kpis", "most_contacted", "daily_activity",
    "planned_meetings", "batches",
)  # fmt: skip
HEALTH_TABLES = ("health_components", "health_history", "alerts")
WHO_KNOWS_TABLES = ("who_knows_whom", "who_knows_company", "strength_components")
GRAPH_TABLES = ("graph_nodes", "graph_edges")
SORTED_LIKE = {
    "who_knows_whom": ("contact_number", "rank"),
    "strength_components": ("contact_number", "colleague_number", "component"),
    "graph_edges": ("edge",),
}
"""Columns of models that sort as the published ones do, at less cost: numbers instead of texts."""


def build_month(context: BuildContext, month: str) -> Manifest | None:
    """Keep the month's interactions fresh; None where nothing was collected. Raises BadLake, ConsentRefused."""
    who, _ = identification(context)
    return refresh_month(context, month, who)


def build_kpis(context: BuildContext, as_of: datetime) -> dict[str, Manifest]:
    """Keep KPI_TABLES fresh for `as_of`, and with them HEALTH_TABLES, which come from the same pass."""
    return _only(KPI_TABLES, _keep(context, as_of, KPI_TABLES + HEALTH_TABLES, _prepare_kpis))


def build_health(context: BuildContext, as_of: datetime) -> dict[str, Manifest]:
    """Keep HEALTH_TABLES fresh for `as_of`. The health columns of the KPI tables come from the same pass."""
    return _only(HEALTH_TABLES, _keep(context, as_of, KPI_TABLES + HEALTH_TABLES, _prepare_kpis))


def build_who_knows_whom(context: BuildContext, as_of: datetime) -> dict[str, Manifest]:
    """Keep WHO_KNOWS_TABLES fresh for `as_of`, and with them GRAPH_TABLES, which come from the same pass."""
    return _only(WHO_KNOWS_TABLES, _keep_ties(context, as_of))


def build_contact_graph(context: BuildContext, as_of: datetime) -> dict[str, Manifest]:
    """Keep GRAPH_TABLES fresh for `as_of`."""
    return _only(GRAPH_TABLES, _keep_ties(context, as_of))


def _keep_ties(context: BuildContext, as_of: datetime) -> dict[str, Manifest]:
    marks = {"tie marks": marks_digest(context.marked_ties)}
    return _keep(context, as_of, WHO_KNOWS_TABLES + GRAPH_TABLES, _prepare_ties, marks)


def _only(tables: tuple[str, ...], manifests: dict[str, Manifest]) -> dict[str, Manifest]:
    return {table: manifests[table] for table in tables}


_UNION_OF = {
    "conversations": "month_conversations",
    "replies": "month_replies",
    "last_questions": "month_last_questions",
}
"""Stored kinds that a model joins with the CRM's under the kind's own name."""

Prepared = dict[str, list[dict[str, Any] | DataFile]]
"""Published tables: the parameters of their models, for each file a set, or the files that are written already."""


def _keep(
    context: BuildContext,
    as_of: datetime,
    tables: tuple[str, ...],
    prepare: Callable[[BuildContext, Window, Workbench], Prepared],
    also: Mapping[str, str] | None = None,
) -> dict[str, Manifest]:
    """The tables' manifests, computed and committed where their inputs (those of all tables, and `also`) differ from what
    stands."""
    window = open_window(context, as_of)
    inputs = {**window.inputs, "settings": _settings_digest(context), "crm": crm_digest(context.crm), **(also or {})}
    folders = {table: context.layout.insight(table) for table in tables}
    standing = {table: standing_table(folder) for table, folder in folders.items()}
    if all(manifest is not None and manifest.inputs == inputs for manifest in standing.values()):
        return {table: manifest for table, manifest in standing.items() if manifest is not None}
    with context.engine() as engine:
        bench = Workbench(engine, MODELS)
        for kind, paths in window.files.items():
            bench.attach(_UNION_OF.get(kind, kind), paths, STORED[kind])
        prepared = prepare(context, window, bench)
        return {
            table: _commit_table(context, bench, table, folders[table], inputs, prepared[table]) for table in tables
        }


def _commit_table(
    context: BuildContext,
    bench: Workbench,
    table: str,
    folder: Path,
    inputs: dict[str, str],
    files: list[dict[str, Any] | DataFile],
) -> Manifest:
    """Write a model's rows, columns and order as schemas.PUBLISHED has them, and commit them."""
    make_folder(folder)
    context.progress(f"building {table}")
    parts = [file if isinstance(file, DataFile) else _write_part(bench, table, folder, file) for file in files]
    return commit_manifest(
        folder,
        epoch=context.layout.epoch,
        table=table,
        month=None,
        files=[part for part in parts if part.rows] or parts[:1],
        fence=context.fence,
        inputs=inputs,
    )


def _write_part(bench: Workbench, table: str, folder: Path, parameters: dict[str, Any]) -> DataFile:
    contract = schemas.PUBLISHED[table]
    order = SORTED_LIKE.get(table, contract.sort_by)
    return write_part(
        folder, table, lambda path: bench.write_contract(table, contract.schema, order, path, **parameters)
    )


def _settings_digest(context: BuildContext) -> str:
    text = repr((models_digest(MODELS), context.settings.health, asdict(HEALTH), asdict(DEFAULT_CONSTANTS)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prepare_kpis(context: BuildContext, window: Window, bench: Workbench) -> Prepared:
    as_of = window.as_of
    _open_people(context, window, bench)
    _count_crm(context, window, bench)
    bench.table("records")
    bench.table("valid_border_replies", since=window.since)
    bench.table("tangled_replies")
    bench.drop("valid_border_replies")
    _open_health(context, window, bench)
    for pairs in _pair_slices(window, RANKED_TYPES):
        bench.append("contacted_colleagues", **pairs)
    days_folder = make_folder(context.layout.insight("daily_activity"))
    days = [
        _count_slice(window, bench, records, days_folder) for records in _record_slices(window, bench, RANKED_TYPES)
    ]
    bench.drop("tangled_replies")
    bench.view("known_records")
    bench.table("next_meetings")
    bench.table(
        "kpis",
        as_of=as_of,
        updated_at=window.updated_at,
        computation_accuracy="partial" if window.is_partial else "complete",
    )
    bench.table("spelled_names")
    bench.table("contact_names")
    _judge_health(window, bench)
    bench.register("month_records", month_records(window))
    return {
        "health_components": [{"as_of": as_of}],
        "health_history": [{"as_of": as_of}],
        "alerts": [{"as_of": as_of}],
        "contact_kpis": [{}],
        "account_kpis": [{}],
        "opportunity_kpis": [{}],
        "lead_kpis": [{}],
        "most_contacted": [{"as_of": as_of}],
        "daily_activity": [*days],
        "planned_meetings": [{"as_of": as_of}],
        "batches": [{"as_of": as_of}],
    }


def _count_slice(window: Window, bench: Workbench, records: dict[str, str], days_folder: Path) -> DataFile:
    """What is read from single emails and days, for a range of records: a year of them never stands in memory. Returns
    the part of `daily_activity`, written while the days are at hand."""
    record_type = records["record_type"]
    bench.table("answered", **records)
    bench.append("responses")
    bench.append("young_questions", as_of=window.as_of, **records)
    bench.append("conversation_starts", **records)
    bench.table("record_days", **records)
    days = _write_part(bench, "daily_activity", days_folder, {"as_of": window.as_of, "record_type": record_type})
    if record_type != "account":
        bench.table("health_days")
        bench.table("health_months", as_of=window.as_of, **records)
        bench.append("health_inputs", record_type=record_type)
        bench.append("health_rhythm", record_type=record_type)
        bench.drop("health_days", "health_months")
    bench.drop("answered", "record_days")
    return days


def _open_health(context: BuildContext, window: Window, bench: Workbench) -> None:
    """Tables `health_constants` and `health_instants`, and the macros of health."""
    constants = asdict(HEALTH) | context.settings.health.model_dump()
    bench.engine.execute("create table health_constants as select $k as k", {"k": constants}).fetchall()
    bench.engine.execute(sql("relationship_pipeline.insights", "health_macros")).fetchall()
    bench.register("health_instants", _instants(window))


def _judge_health(window: Window, bench: Workbench) -> None:
    """Table `health` and what the health tables are made of."""
    bench.view("health_parts")
    bench.table("health_scores")
    bench.table("health_now", as_of=window.as_of)
    bench.table("health_component_rows")
    bench.table("health")


def _instants(window: Window) -> pa.Table:
    """The days for which health is told: the last of each month of the window, and that of `as_of`."""
    import pyarrow as pa

    *past, running = window_months(window.as_of)
    days = [month_end(month) - timedelta(days=1) for month in past] + [window.as_of - timedelta(microseconds=1)]
    return pa.table(
        {
            "month": pa.array([*past, running], pa.string()),
            "first_on": pa.array([month_start(month).date() for month in (*past, running)], pa.date32()),
            "on_day": pa.array([day.date() for day in days], pa.date32()),
            "is_now": pa.array([False] * len(past) + [True], pa.bool_()),
        }
    )


def _prepare_ties(context: BuildContext, window: Window, bench: Workbench) -> Prepared:
    _open_people(context, window, bench)
    _score_pairs(window, bench)
    bench.register("tie_marks", context.marked_ties)
    bench.table("hidden_ties")
    bench.table("graph_names")
    bench.table("shown_ties", shown=SHOWN_TIES)
    bench.table("graph_ties")
    bench.table("spelled_names")
    bench.table("contact_names")
    return {table: [{"as_of": window.as_of}] for table in WHO_KNOWS_TABLES + GRAPH_TABLES}


def _score_pairs(window: Window, bench: Workbench) -> None:
    """Tables `scored_pairs` and `tie_constants`, and the macros of ties."""
    engine = bench.engine
    engine.execute(sql("relationship_pipeline.insights", "tie_macros")).fetchall()
    engine.execute(sql(MODELS, "tie_reasons")).fetchall()
    engine.execute("create table tie_constants as select $k as k", {"k": asdict(DEFAULT_CONSTANTS)}).fetchall()
    short, medium, long = DEFAULT_CONSTANTS.half_lives_days
    half_lives: dict[str, Any] = {"short_days": short, "medium_days": medium, "long_days": long}
    constants = {**half_lives, "meeting": DEFAULT_CONSTANTS.meeting}
    bench.table("lone_days")
    for pairs in _pair_slices(window, TIED_TYPES):
        bench.append("scored_pairs", over="pair_sums", since=window.since, as_of=window.as_of, **pairs, **constants)


def _slices(window: Window) -> int:
    stored = sum(file.rows for month in window.interactions for file in month.files if file.table in PAIR_KINDS)
    return 1 + stored // PAIRS_AT_ONCE


def _pair_slices(window: Window, record_types: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Ranges of record keys, as the model `pair_sums` takes them, that together hold all records of these types: equal
    ones, for keys are hashes."""
    slices = _slices(window)
    borders = [KEYS * number // slices for number in range(slices + 1)]
    for record_type in record_types:
        for first_key, end_key in pairwise(borders):
            yield {"record_type": record_type, "first_key": first_key, "last_key": end_key - 1}


def _record_slices(window: Window, bench: Workbench, record_types: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Ranges of record ids, as the model `answered` takes them, that together hold all records of these types."""
    bench.table("record_slices", slices=_slices(window))
    for record_type in record_types:
        found = bench.engine.execute(
            "select first_id from record_slices where record_type = $1 order by slice", [record_type]
        ).fetchall()
        borders = ["", *(first_id for (first_id,) in found[1:]), AFTER_ALL]
        for first_id, end_id in pairwise(borders):
            yield {"record_type": record_type, "first_id": first_id, "end_id": end_id}


def _open_people(context: BuildContext, window: Window, bench: Workbench) -> None:
    """Tables `users`, `contact_accounts`, `record_keys`, what the CRM says of each record, and the planned meetings:
    `meetings`, `meeting_links`, `persons`, `members`."""
    until = planned_until(window.as_of)
    planned = month_models.open_meetings(bench.engine, window.planned, window.as_of, until)
    month_models.identify(planned, window.who, also=all_addresses(context.crm))
    month_models.count_meetings(planned)
    sides: dict[str, set[str]] = {"outside": set(), "hidden": set()}
    for side, address in bench.engine.execute("select side, address from identities").fetchall():
        sides.setdefault(side, set()).add(address)
    register_crm(bench, context, window.crm, frozenset(sides["outside"]), frozenset(sides["hidden"]))
    for name in ("users", "hidden_accounts", "contact_accounts", "record_keys"):
        bench.table(name)


def _count_crm(context: BuildContext, window: Window, bench: Workbench) -> None:
    """Opportunities and leads over the window, and of other records calls and what else is regarding them: `crm_days`,
    `crm_pairs`, `crm_people`, `crm_next_meetings`, and the replies and conversations of all records."""
    bench.table("crm_calls", since=window.since, as_of=window.as_of)
    bench.table("crm_regarding")
    open_listed(context, window, bench)
    bench.view("crm_activities")
    for name in ("crm_links", "crm_days", "crm_pairs", "crm_people", "crm_threads", "crm_replies", "crm_next_meetings"):
        bench.table(name)
    for name in ("conversations", "replies", "last_questions"):
        bench.view(name)
