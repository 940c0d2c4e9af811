"""A running simulator for the tests of this folder, and a small client that knows nothing of the pipeline."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from relationship_pipeline.simulator.scenario import Realism, Scenario
from relationship_pipeline.simulator.server import SimulatorServer

MONTHS = ("2025-01", "2025-02")
FEBRUARY = "receivedDateTime ge 2025-02-01T00:00:00Z and receivedDateTime lt 2025-03-01T00:00:00Z"


def scenario(**changes: Any) -> Scenario:
    values: dict[str, Any] = {"seed": 3, "users": 12, "months": MONTHS, "messages_per_month": 1200}
    return Scenario(**{**values, "realism": Realism.everything(), **changes})


class Graph:
    """Plain requests to a running simulator, with a token."""

    def __init__(self, server: SimulatorServer) -> None:
        self.server = server
        self.address = server.address
        context = ssl.create_default_context(cafile=str(self.address.ca_path))
        self.http = httpx.Client(verify=context, trust_env=False, timeout=20)
        self.token = ""
        self.log_in()

    def token_answer(self, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.address.client_id,
            "client_secret": self.address.client_secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        return self.http.post(f"{self.address.authority}/oauth2/v2.0/token", data={**form, **changes})

    def log_in(self) -> None:
        self.token = self.token_answer().json()["access_token"]

    def get(self, path: str, params: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("https:") else f"{self.address.base_url}/{path}"
        return self.http.get(url, params=params, headers={"Authorization": f"Bearer {self.token}", **named})

    def walk(self, path: str, params: dict[str, str] | None = None, **headers: str) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        answer = self.get(path, params, **headers)
        rows: list[dict[str, Any]] = []
        while True:
            assert answer.status_code == 200, answer.text
            page = answer.json()
            rows += page["value"]
            if "@odata.nextLink" not in page:
                return rows
            answer = self.get(page["@odata.nextLink"], **headers)

    def control(self, path: str, document: Any = None) -> Any:
        return self.server.control(path, document)

    def close(self) -> None:
        self.http.close()


@pytest.fixture(scope="session")
def running() -> Iterator[SimulatorServer]:
    with SimulatorServer(scenario(), process=False) as server:
        yield server


@pytest.fixture(scope="session")
def shared_graph(running: SimulatorServer) -> Iterator[Graph]:
    graph = Graph(running)
    yield graph
    graph.close()


@pytest.fixture
def graph(shared_graph: Graph) -> Iterator[Graph]:
    """The shared simulator, left without faults."""
    shared_graph.log_in()
    yield shared_graph
    shared_graph.control("faults/clear", {})


@pytest.fixture
def own_graph() -> Iterator[Graph]:
    """A simulator of the test's own, for tests that change the tenant."""
    with SimulatorServer(scenario(users=4, messages_per_month=200), process=False) as server:
        graph = Graph(server)
        yield graph
        graph.close()


@pytest.fixture
def mailbox(graph: Graph) -> str:
    """The object id of a well-filled mailbox."""
    service = graph.server.service
    assert service is not None
    busiest = max(service.tenant.people.users[:12], key=lambda user: user.activity)
    return busiest.oid
