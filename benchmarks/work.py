"""The project's side of the benchmarks, each piece in a process of its own: `python -m benchmarks.work PIECE …`.

Settings come from the environment, as they do for every entry point. The last line of stdout is a JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relationship_pipeline import operations
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.operations import Work
from relationship_pipeline.publishing.connection import current_epoch, database_path, open_published
from relationship_pipeline.settings import load_settings


def crawl(work: Work, month: str) -> dict[str, Any]:
    """Crawl one month of emails from Graph, page to staged Parquet; what comes before and after is not counted."""
    from relationship_pipeline.operations.collection import EMAIL, Reading

    reading = Reading(work, work.ledger.require(Purpose.COLLECT))
    scope = reading.scope(EMAIL, month)
    counts: dict[str, Any] = {}

    def stage() -> None:
        staged = reading.source.stage_emails(month, scope, reading.stage, reading.checkpoint, work.report)
        counts.update(walked_copies=staged.walked_copies, mailboxes=dict(staged.mailboxes))

    return {**_timed(stage), **counts}


def collect(work: Work, month: str) -> dict[str, Any]:
    """Read one month of emails from the source into the lake."""
    return dict(operations.collect_emails(work, month).quality)


def derive(work: Work, *months: str) -> dict[str, Any]:
    """Derive the interactions of some months; CPU seconds and wall seconds of each."""
    return {month: _timed(lambda month=month: operations.derive_interactions(work, month)) for month in months}


def insights(work: Work) -> dict[str, Any]:
    """Build every 12-month table and publish them; CPU seconds and wall seconds of each step."""
    steps = {
        "kpis": operations.build_kpis,
        "health": operations.build_health,
        "who_knows_whom": operations.build_who_knows_whom,
        "contact_graph": operations.build_contact_graph,
        "publish": operations.publish,
        "report": operations.build_report,
    }
    return {name: _timed(lambda step=step: step(work)) for name, step in steps.items()}


def refresh(work: Work, month: str) -> dict[str, Any]:
    """A day's refresh: the running month is read again and derived, insights are built and published."""
    partitioned = {
        "collect": _timed(lambda: operations.collect_emails(work, month)),
        "meetings": _timed(lambda: operations.collect_meetings(work, month)),
        "derive": _timed(lambda: operations.derive_interactions(work, month)),
    }
    return {**partitioned, **insights(work)}


def look_up(work: Work, count: str) -> dict[str, Any]:
    """Look contacts up in a salesperson's published database: the first one with the file out of the page cache, then
    `count` more on the open connection. Milliseconds."""
    epoch = current_epoch(work.settings.layout)
    with open_published(epoch, ROLE) as connection:
        contacts = [
            contact
            for (contact,) in connection.execute(
                "select contact_email from contact_kpis order by hash(contact_email) limit $1",
                [int(count) + 1],
            ).fetchall()
        ]
        rows = connection.execute("select count(*) from contact_kpis").fetchone()
    _forget(database_path(epoch.published, ROLE))
    started = time.perf_counter()
    with open_published(epoch, ROLE) as connection:
        connection.execute(LOOK_UP, [contacts[0]]).fetchall()
        cold = time.perf_counter() - started
        warm = []
        for contact in contacts[1:]:
            started = time.perf_counter()
            connection.execute(LOOK_UP, [contact]).fetchall()
            warm.append(time.perf_counter() - started)
    return {
        "cold_ms": cold * 1e3,
        "warm_ms": statistics.median(warm) * 1e3,
        "warm_worst_ms": max(warm) * 1e3,
        "contacts": rows[0] if rows else 0,
    }


def export(work: Work, target: str) -> dict[str, Any]:
    """Write the whole contact graph to a file."""
    from relationship_pipeline.publishing.export import export_graph

    counts: dict[str, int] = {}
    return {**_timed(lambda: counts.update(export_graph(work.settings.layout, Path(target), ROLE))), **counts}


def paths(work: Work, count: str) -> dict[str, Any]:
    """Who knows a contact, with warm paths from a colleague: `count` pairs of both, the first not counted. Milliseconds."""
    from relationship_pipeline.publishing.who_knows import who_knows

    with open_published(current_epoch(work.settings.layout), ROLE) as connection:
        pairs = connection.execute(PAIRS, [int(count) + 1]).fetchall()
    found, times = 0, []
    for contact, colleague in pairs:
        started = time.perf_counter()
        answer = who_knows(work.settings.layout, contact, ROLE, from_colleague=colleague)
        times.append((time.perf_counter() - started) * 1e3)
        found += len(answer.paths)
    return {"median_ms": statistics.median(times[1:]), "worst_ms": max(times[1:]), "paths": found}


def erase(work: Work) -> dict[str, Any]:
    """Withdraw the consent, and delete until VERIFIED."""
    from relationship_pipeline.erasure.run import withdraw
    from relationship_pipeline.erasure.steps import Hooks

    record = work.ledger.require(Purpose.DERIVE)
    withdraw(work.settings.layout, record.admin, record.epoch, datetime.now(UTC))
    states: dict[str, str] = {}
    answer = _timed(lambda: states.update(operations.run_erasure(work.settings, Hooks())))
    state = states[record.epoch]
    return {**answer, "state": state, "is_erased": operations.is_erased_state(state)}


def scan(work: Work) -> dict[str, Any]:
    """Scan the whole data directory, every file of it, as the verification would if nothing had been deleted."""
    from relationship_pipeline.erasure import scanner
    from relationship_pipeline.erasure.steps import scan_plan

    record = work.ledger.require(Purpose.DERIVE)
    deletion = operations.deletion(work.settings, epoch=record.epoch)
    plan = {**scan_plan(deletion.layout, deletion.store, record.epoch, "before"), "mode": "after"}
    found: dict[str, Any] = {}
    answer = _timed(lambda: found.update(scanner.scan(plan)))
    return {
        **answer,
        "files_read": found["files_read"],
        "bytes": sum(one["bytes"] for one in found["classes"].values()),
    }


LOOK_UP = "select * from contact_kpis where contact_email = $1"
PAIRS = """
select contacts.node_id, colleagues.node_id
from (select node_id from graph_nodes where kind = 'contact' order by hash(node_id) limit $1) as contacts
positional join (select node_id from graph_nodes where kind = 'colleague' order by hash(node_id) limit $1) as colleagues
where contacts.node_id is not null and colleagues.node_id is not null
"""
ROLE = "salesperson"


def _timed(step: Callable[[], object]) -> dict[str, float]:
    started, before = time.perf_counter(), _cpu_seconds()
    step()
    return {"seconds": time.perf_counter() - started, "cpu_seconds": _cpu_seconds() - before}


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _forget(path: Path) -> None:
    """Take a file out of the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


PIECES: dict[str, Callable[..., dict[str, Any]]] = {
    "crawl": crawl,
    "collect": collect,
    "derive": derive,
    "insights": insights,
    "refresh": refresh,
    "look_up": look_up,
    "export": export,
    "paths": paths,
    "erase": erase,
    "scan": scan,
}


def main() -> None:
    name, *arguments = sys.argv[1:]
    work = Work(load_settings(), lambda line: print(line, file=sys.stderr))
    print(json.dumps(PIECES[name](work, *arguments), default=str))


if __name__ == "__main__":
    main()
