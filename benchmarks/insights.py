"""P3, P4, P5 and P7: from the lake to what people look up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.collecting import DATA_CONNECT_DIR, environment_of
from benchmarks.context import Context
from benchmarks.generate import COPIES_PER_EMAIL, settings_of, write_export, write_lake
from benchmarks.measure import Measurement, interleaved, median, run
from benchmarks.result import Bound, Peer, Result
from benchmarks.tenant import DOMAIN, Tenant
from benchmarks.year import AS_OF, FULL, ensure_published, forget_insights, open_year
from relationship_pipeline.domain.months import add_months, month_of

BATCH = 8_000_000
GIB = 2**30
DAYS_NEW = 270_000 / FULL
"""Part of a year's emails that a day brings."""
LOOK_UPS = 200


def interactions(context: Context) -> Result:
    """P3: the interactions of one month, the month before at hand."""
    emails = context.count(BATCH)
    data_dir = context.folder / f"months-{emails}-{context.seed}"
    epoch = write_lake(settings_of(data_dir, AS_OF), Tenant(emails, context.seed), 2)
    month = add_months(month_of(AS_OF), -1)
    settings = environment_of(data_dir, AS_OF, memory="3400MiB")

    def derive() -> Measurement:
        shutil.rmtree(epoch.lake / "interactions", ignore_errors=True)
        return run(["-m", "benchmarks.work", "derive", month], settings=settings)

    files = sorted(str(path) for path in epoch.month("email", month).glob("*.parquet"))
    measured = interleaved(
        context.repeats(emails),
        {"ours": derive, "peer": lambda: run(["-m", "benchmarks.peers", "duckdb_pairs", *files])},
    )
    ours, peer = median(measured["ours"]), median(measured["peer"])
    return Result(
        id="P3",
        title="interactions of one month",
        figure=ours.seconds,
        unit="s",
        target="at most 60 s and 4 GiB at 8 M",
        limit=60,
        scale=BATCH / emails,
        cost=ours,
        messages=emails,
        bounds={"peak memory": Bound(ours.peak_rss_bytes / GIB, 4, "GiB")},
        peers={
            "DuckDB, scan and count by pair and day": Peer(
                peer.seconds,
                ours.cpu_seconds / peer.cpu_seconds,
                4.0,
                "one query on the same files; ratio of CPU seconds",
            )
        },
        details={
            "participant_rows": peer.answer["participants"],
            "interactions_bytes": _bytes_below(epoch.month("interactions", month)),
            "lake_bytes": _bytes_below(epoch.month("email", month)),
        },
    )


def insights_and_publishing(context: Context) -> Result:
    """P4: every 12-month table and the published databases, from the months' interactions."""
    emails = context.count(FULL)
    year = open_year(context, emails)

    def build() -> Measurement:
        forget_insights(year)
        return run(["-m", "benchmarks.work", "insights"], settings=year.settings)

    arguments = [DOMAIN, AS_OF.strftime("%Y-%m-%d %H:%M:%S"), *year.email_files]

    def polars(peer: str) -> Callable[[], Measurement]:
        return lambda: run(["-m", "benchmarks.peers", peer, *arguments], python=context.peer_python)

    measured = interleaved(
        context.repeats(emails),
        {"ours": build, "polars_ties": polars("polars_ties"), "polars_contact_ties": polars("polars_contact_ties")},
    )
    ours, all_ties, contact_ties = (median(runs) for runs in measured.values())
    steps: dict[str, Any] = dict(ours.answer)
    ties_cpu = steps["who_knows_whom"]["cpu_seconds"]
    with_months = (ties_cpu + year.derived["cpu_seconds"]) / all_ties.cpu_seconds
    return Result(
        id="P4",
        title="all insights and publishing over 12 months",
        figure=ours.seconds,
        unit="s",
        target="at most 10 min and 8 GiB at 12 x 8 M",
        limit=600,
        scale=year.scale,
        cost=ours,
        messages=emails,
        bounds={"peak memory": Bound(ours.peak_rss_bytes / GIB, 8, "GiB")},
        peers={
            "Polars, ties of contacts, accounts and colleagues": Peer(
                all_ties.seconds,
                ties_cpu / all_ties.cpu_seconds,
                1.0,
                "all ties of who knows whom, the top five of each contact and account, from monthly interactions against "
                f"Polars from the year's emails; ratio of CPU seconds (with deriving all 12 months and all they hold: "
                f"{with_months:.2f})",
            ),
            "Polars, top five ties of contacts alone": Peer(
                contact_ties.seconds, ties_cpu / contact_ties.cpu_seconds, None, "for information: less than ours does"
            ),
        },
        details={
            **{f"{name}_seconds": round(step["seconds"], 2) for name, step in steps.items()},
            **{f"{name}_cpu_seconds": round(step["cpu_seconds"], 2) for name, step in steps.items()},
            "interactions_of_12_months": year.derived,
            "published_bytes": _bytes_below(year.published),
            "peer_peak_rss_bytes": all_ties.peak_rss_bytes,
            "peer_answer": dict(all_ties.answer),
        },
    )


def daily_refresh(context: Context) -> Result:
    """P5: one day's new emails on top of a year: read, derived, built, published. The month in its days of grace is not
    read again: the export that stands for a day's delta holds the running month only."""
    emails = context.count(FULL)
    year = open_year(context, emails)
    new = max(1_000, round(emails * DAYS_NEW))
    day = AS_OF + timedelta(days=1)
    copies = int(new * COPIES_PER_EMAIL)
    export = context.folder / f"day-{new}-{context.seed}"
    write_export(export, year.tenant, month_of(AS_OF), copies, until=day)
    ensure_published(year)
    settings = {**environment_of(year.data_dir, day), DATA_CONNECT_DIR: str(export)}

    def refresh() -> Measurement:
        for table in ("email", "meetings", "interactions"):
            shutil.rmtree(year.lake / table / f"month={month_of(AS_OF)}", ignore_errors=True)
        shutil.rmtree(year.lake.parent / "insights", ignore_errors=True)
        return run(["-m", "benchmarks.work", "refresh", month_of(AS_OF)], settings=settings)

    ours = median([refresh() for _ in range(context.repeats(emails))])
    steps: dict[str, Any] = dict(ours.answer)
    partitioned = sum(steps[name]["cpu_seconds"] for name in ("collect", "meetings", "derive"))
    full = year.derived
    return Result(
        id="P5",
        title="daily refresh on top of a year",
        figure=ours.seconds,
        unit="s",
        target="at most 3 min and 8 GiB for 270 k new on 96 M",
        limit=180,
        scale=year.scale,
        cost=ours,
        messages=emails,
        bounds={"peak memory": Bound(ours.peak_rss_bytes / GIB, 8, "GiB")},
        peers={
            "full rebuild of what is partitioned": Peer(
                full["seconds"],
                partitioned / full["cpu_seconds"],
                0.1,
                "collecting and deriving the day against deriving all 12 months; ratio of CPU seconds",
            )
        },
        details={
            "new_emails": new,
            **{f"{name}_cpu_seconds": round(step["cpu_seconds"], 2) for name, step in steps.items()},
        },
    )


def look_up(context: Context) -> Result:
    """P7: one contact's row in a salesperson's published database."""
    emails = context.count(FULL)
    year = open_year(context, emails)
    ensure_published(year)
    runs = [
        run(["-m", "benchmarks.work", "look_up", str(LOOK_UPS)], settings=year.settings)
        for _ in range(max(3, context.repeats(emails)))
    ]
    ours = median(runs)
    cold = sorted(one.answer["cold_ms"] for one in runs)[len(runs) // 2]
    return Result(
        id="P7",
        title="look-up of one contact in the published database",
        figure=ours.answer["warm_ms"],
        unit="ms",
        target="at most 20 ms warm, 100 ms cold",
        limit=20,
        cost=ours,
        messages=emails,
        bounds={"cold: file out of the page cache, new connection": Bound(cold, 100, "ms")},
        details={
            "contacts": ours.answer["contacts"],
            "warm_worst_ms": round(ours.answer["warm_worst_ms"], 2),
            "database_bytes": _bytes_below(year.published),
        },
    )


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
