"""`relationship-pipeline dev` as a user runs it, driven by the GraphQL calls that the UI itself makes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

LOCATION = {"repositoryLocationName": "relationship_pipeline", "repositoryName": "__repository__"}

LAUNCH_BACKFILL = """
mutation LaunchPartitionBackfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""
BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
}
"""
LAUNCH_RUN = """
mutation LaunchRun($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
READY = "query Ready { repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"

ENDED = {"SUCCESS", "FAILURE", "CANCELED", "COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"}


@dataclass
class Ui:
    """A running `dev` and its GraphQL end point."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = self.client.post("/graphql", json={"query": query, "variables": variables}).raise_for_status().json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def launch_backfill(self, assets: Sequence[str], months: Sequence[str]) -> str:
        """What "Materialize" over chosen partitions of chosen assets sends; returns the backfill's id."""
        params = {"assetSelection": [{"path": [asset]} for asset in assets], "partitionNames": list(months), "tags": []}
        launched = self.ask(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def launch_job(self, job: str) -> str:
        params = {"mode": "default", "selector": {**LOCATION, "jobName": job}, "runConfigData": {}}
        launched = self.ask(LAUNCH_RUN, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def backfill_status(self, backfill: str) -> str:
        return str(self.ask(BACKFILL, id=backfill)["partitionBackfillOrError"]["status"])

    def run_status(self, run: str) -> str:
        return str(self.ask(RUN, id=run)["runOrError"]["status"])

    def wait_for(self, status: Any, seconds: float = 900) -> str:
        """Poll a status call until it has ended; returns how."""
        pause = threading.Event()
        for _ in range(int(seconds)):
            now: str = status()
            if now in ENDED:
                return now
            assert self.process.poll() is None, "dev ended by itself"
            pause.wait(1)
        raise AssertionError(f"still {now} after {seconds} s")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def dev(environment: dict[str, str], log: Path) -> Iterator[Ui]:
    """Start `relationship-pipeline dev`, wait until its code location is loaded, stop it by SIGTERM."""
    port = free_port()
    program = "from relationship_pipeline.cli import main; main()"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "dev", "--port", str(port)],
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        try:
            ui = Ui(process, client)
            _wait_until_ready(ui, log)
            yield ui
        finally:
            client.close()
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_until_ready(ui: Ui, log: Path) -> None:
    pause = threading.Event()
    for _ in range(120):
        assert ui.process.poll() is None, log.read_text()
        try:
            if ui.ask(READY)["repositoriesOrError"].get("nodes"):
                return
        except (httpx.HTTPError, AssertionError):
            pass
        pause.wait(1)
    raise AssertionError(f"the UI did not come up: {log.read_text()[-2000:]}")
