"""`$batch` as graph.md 8.3 describes it: parts meet limits and faults by themselves, in any order, 424 after a failure."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import pytest

from relationship_pipeline.simulator.scenario import Latency, Scenario
from relationship_pipeline.simulator.server import SimulatorServer


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    scenario = Scenario(seed=4, users=3, months=("2026-03",), messages_per_month=60, latency=Latency(base=0.02))
    with SimulatorServer(scenario, process=False) as running:
        yield running


def post(server: SimulatorServer, url: str, body: bytes, **headers: str) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=str(server.address.ca_path))
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    opener.error = lambda proto, request, answer, *rest: answer  # type: ignore[method-assign, assignment]
    with opener.open(Request(url, body, headers)) as answer:
        return answer.status, json.loads(answer.read())


def batch(server: SimulatorServer, requests: list[dict[str, Any]]) -> tuple[int, Any]:
    address = server.address
    form = {
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
        "client_id": address.client_id,
        "client_secret": address.client_secret,
    }
    _, token = post(server, f"{address.authority}/oauth2/v2.0/token", urlencode(form).encode())
    return post(
        server,
        f"{address.base_url}/$batch",
        json.dumps({"requests": requests}).encode(),
        Authorization=f"Bearer {token['access_token']}",
        **{"Content-Type": "application/json"},
    )


def folder(server: SimulatorServer, key: str, name: str, **more: Any) -> dict[str, Any]:
    user = server.control("scenario")["users"][0]["id"]
    return {"id": key, "method": "GET", "url": f"/users/{user}/mailFolders/{name}?$select=id", **more}


def test_parts_are_answered_by_their_id_and_never_more_than_four_at_once(server: SimulatorServer) -> None:
    server.control("requests/clear", {})
    status, answer = batch(server, [folder(server, str(n), "inbox") for n in range(12)])
    parts = {part["id"]: part for part in answer["responses"]}
    assert status == 200 and len(parts) == 12
    assert all(part["status"] == 200 and part["body"]["id"] for part in parts.values())
    assert [part["id"] for part in answer["responses"]] != sorted(parts, key=int), "in any order"
    lanes = server.control("limiter")["mailboxes"].values()
    assert max(lane["most_in_flight"] for lane in lanes) == 4


def test_a_part_that_depends_on_a_failed_one_is_424(server: SimulatorServer) -> None:
    _, answer = batch(
        server,
        [
            folder(server, "1", "nosuchfolder"),
            folder(server, "2", "inbox", dependsOn=["1"]),
            folder(server, "3", "inbox"),
        ],
    )
    assert {part["id"]: part["status"] for part in answer["responses"]} == {"1": 404, "2": 424, "3": 200}


def test_a_batch_that_is_none_or_too_large_is_refused(server: SimulatorServer) -> None:
    assert batch(server, [])[0] == 400
    assert batch(server, [folder(server, str(n), "inbox") for n in range(21)])[0] == 400
