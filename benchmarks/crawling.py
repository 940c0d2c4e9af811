"""P1: a month of a simulated tenant through Microsoft Graph's protocol, page to Parquet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.measure import BenchmarkError, Measurement, interleaved, median, run
from benchmarks.result import Bound, Peer, Result
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.server import SimulatorServer

MONTH = "2026-09"
NOW = "2026-10-05T00:00:00Z"
MESSAGES_PER_MAILBOX = 900
"""Mean of a mailbox's month; half have less than 500."""
PEER_MESSAGES = 40_000
PAGE = 1_000


def graph_crawl(context: Context) -> Result:
    """P1: CPU of the whole client process, start-up and planning pass included, over TLS with the simulator beside it in
    a process of its own."""
    messages = context.count(1_000_000)
    tenant = Scenario(
        seed=context.seed,
        users=max(2, messages // MESSAGES_PER_MAILBOX),
        months=(MONTH,),
        messages_per_month=messages,
        now=NOW,
    )
    with SimulatorServer(tenant) as server:
        settings = {**server.address.settings(), "RELATIONSHIP_GRAPH__PAGE_SIZE": str(PAGE)}
        job = _write_job(server, context.folder)
        measured = interleaved(
            context.repeats(messages),
            {
                "ours": lambda: _crawl(context.folder / "p1", settings),
                "dlt REST pipeline": lambda: run(
                    ["-m", "benchmarks.peers", "dlt_graph", str(job)], python=context.peer_python
                ),
            },
        )
    ours, peer = median(measured["ours"]), median(measured["dlt REST pipeline"])
    figure = ours.cpu_seconds / ours.answer["walked"] * 1e6
    peer_figure = peer.cpu_seconds / peer.answer["rows"] * 1e6
    return Result(
        id="P1",
        title="Graph crawl of one month, page to Parquet",
        figure=figure,
        unit="CPU s per million messages",
        target="at most 20",
        limit=20,
        cost=ours,
        messages=ours.answer["walked"],
        peers={
            "dlt REST pipeline": Peer(
                peer_figure, figure / peer_figure, 1 / 40, f"{peer.answer['rows']:,} messages into DuckDB, per message"
            )
        },
        bounds={"peak memory": Bound(ours.peak_rss_bytes / 2**20, 512, "MiB")},
        details={"mailboxes": ours.answer["mailboxes"], "page": PAGE, "files": ours.answer["files"]},
    )


def _crawl(stage: Path, settings: dict[str, str]) -> Measurement:
    """One crawl into an empty stage, which is removed afterwards."""
    stage.mkdir()
    try:
        measurement = run(["-m", "benchmarks.work", "crawl", MONTH, str(stage)], settings=settings)
    finally:
        shutil.rmtree(stage)
    if measurement.answer["walked"] != measurement.answer["expected"]:
        raise BenchmarkError("the crawl did not read what the tenant counts")
    return measurement


def _write_job(server: SimulatorServer, folder: Path) -> Path:
    """What the peer needs: addresses, credentials and mailboxes that hold about PEER_MESSAGES."""
    address = server.address
    users = [user["id"] for user in server.control("scenario")["users"] if user["kind"] == "member"]
    job: dict[str, Any] = {
        "base_url": address.base_url,
        "token_url": f"{address.authority}/oauth2/v2.0/token",
        "client_id": address.client_id,
        "client_secret": address.client_secret,
        "ca_file": str(address.ca_path),
        "mailboxes": users[: max(1, PEER_MESSAGES // MESSAGES_PER_MAILBOX)],
        "month": MONTH,
        "page": PAGE,
        "database": str(folder / "peer.duckdb"),
    }
    path = folder / "peer-job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path
