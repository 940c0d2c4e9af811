"""Run the simulator: over TLS with a throw-away certificate authority, in a process of its own or in this one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

import msgspec
import trustme
import uvicorn

from relationship_pipeline.simulator.control import Control
from relationship_pipeline.simulator.faults import Faults
from relationship_pipeline.simulator.scenario import Scenario, load_scenario
from relationship_pipeline.simulator.service import GraphService

_HOST = "127.0.0.1"


class SimulatorError(RuntimeError):
    """The simulator did not start; the message says why."""


@dataclass(frozen=True)
class Address:
    """Where a running simulator is and what a client needs to log in."""

    base_url: str  # ends with /v1.0
    authority: str  # ends with the tenant's id
    ca_path: Path
    control_url: str  # ends with /_sim
    tenant_id: str
    client_id: str
    client_secret: str
    administrator: str

    def settings(self) -> dict[str, str]:
        """The environment variables that point relationship-pipeline at this simulator."""
        return {
            "RELATIONSHIP_SOURCE": "graph",
            "RELATIONSHIP_GRAPH__TENANT_ID": self.tenant_id,
            "RELATIONSHIP_GRAPH__CLIENT_ID": self.client_id,
            "RELATIONSHIP_GRAPH__CLIENT_SECRET": self.client_secret,
            "RELATIONSHIP_GRAPH__BASE_URL": self.base_url,
            "RELATIONSHIP_GRAPH__AUTHORITY": self.authority,
            "RELATIONSHIP_GRAPH__CA_BUNDLE": str(self.ca_path),
        }


class SimulatorServer:
    """A running simulator, as a context manager.

    `process=True` (default) runs it in a process of its own, so that it does not share the caller's interpreter lock;
    `False` runs it in a thread, where tests can reach `service` directly. Port 0 takes a free one. The folder with the
    certificate authority is removed at the end.
    """

    def __init__(self, scenario: Scenario, *, port: int = 0, control_port: int = 0, process: bool = True) -> None:
        self.scenario = scenario
        self.service: GraphService | None = None
        self._ports = (port, control_port)
        self._process = process
        self._folder = Path()
        self._runner: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._servers: list[uvicorn.Server] = []
        self.address: Address

    def __enter__(self) -> SimulatorServer:
        # Not below the data directory: the authority is no personal data, and dies with the process.
        self._folder = Path(tempfile.mkdtemp(prefix="simulator-"))
        try:
            self.address = self._start_process() if self._process else self._start_thread()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        # base_url, authority, ca_path, … read as the server's own.
        address = self.__dict__.get("address")
        if address is None or name.startswith("_"):
            raise AttributeError(name)
        return getattr(address, name)

    def _start_process(self) -> Address:
        """Start `python -m relationship_pipeline.simulator`: the scenario goes in by its standard input, which then
        stays open as the sign that we live; the address comes back as one line."""
        command = [sys.executable, "-m", "relationship_pipeline.simulator", *map(str, self._ports), str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert self._runner.stdin and self._runner.stdout
        self._runner.stdin.write(msgspec.json.encode(self.scenario) + b"\n")
        self._runner.stdin.flush()
        line = self._runner.stdout.readline()
        if not line:
            raise SimulatorError("the simulator's process ended while starting")
        answer = json.loads(line)
        if "error" in answer:
            raise SimulatorError(answer["error"])
        return Address(**{**answer, "ca_path": Path(answer["ca_path"])})

    def _start_thread(self) -> Address:
        self.service = GraphService(self.scenario)
        address, self._servers, sockets = _prepare(self.service, self._ports, self._folder)
        self._thread = threading.Thread(target=_serve, args=(self._servers, sockets), daemon=True)
        self._thread.start()
        return address

    def close(self) -> None:
        """Stop serving and remove the certificate authority; safe to call twice."""
        if self._runner is not None:
            with self._runner as process:  # closes the pipes, and with them the process ends
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
            self._runner = None
        for server in self._servers:
            server.should_exit = True
            server.force_exit = True
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def control(self, path: str, document: Any = None) -> Any:
        """GET a control path, or POST a document to it. Raises SimulatorError with the control plane's words."""
        url = f"{self.address.control_url}/{path}"
        body = None if document is None else json.dumps(document).encode()
        request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own loopback address
        opener = build_opener(ProxyHandler({}), _KeepErrors)
        with opener.open(request, timeout=300) as answer:
            found = json.loads(answer.read())
            if answer.status != 200:
                raise SimulatorError(found["error"])
        return found


class _KeepErrors(HTTPErrorProcessor):
    """Hands answers of any status to the caller."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


def serve_for_parent(ports: tuple[int, int], folder: Path) -> None:
    """The simulator's own process: serve until terminated, or until the parent is gone, however it died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Dagster has SIGTERM do what SIGINT does: nothing, in a process that a script put in the background.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Generated mail lives in caches, not in cycles: looking for cycles at every 700 objects costs a third of the time.
    gc.set_threshold(100_000, 20, 100)
    try:
        scenario = msgspec.json.decode(sys.stdin.buffer.readline(), type=Scenario)
        address, servers, sockets = _prepare(GraphService(scenario), ports, folder)
    except (OSError, ValueError) as error:
        print(json.dumps({"error": f"the simulator cannot start: {error}"}), flush=True)
        return
    print(json.dumps({**asdict(address), "ca_path": str(address.ca_path)}), flush=True)

    def watch() -> None:
        sys.stdin.buffer.read()
        for server in servers:
            server.should_exit = True
            server.force_exit = True

    threading.Thread(target=watch, daemon=True).start()
    _serve(servers, sockets)
    shutil.rmtree(folder, ignore_errors=True)  # the parent may not have lived to do it


def _prepare(
    service: GraphService, ports: tuple[int, int], folder: Path
) -> tuple[Address, list[uvicorn.Server], list[socket.socket]]:
    """Bind both ports, make the certificate, and describe where everything is."""
    sockets = []
    for port in ports:
        # With the protocol named, asyncio switches Nagle's algorithm off; without, every answer waits 40 ms for an ACK.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(1024)
        sockets.append(listener)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", _HOST)
    ca_path, chain = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(ca_path)
    certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    chain.chmod(0o600)
    common: dict[str, Any] = {"log_level": "critical", "access_log": False, "lifespan": "off", "date_header": False,
                              "server_header": False, "timeout_keep_alive": 75, "proxy_headers": False}  # fmt: skip
    graph = uvicorn.Config(service, ssl_certfile=chain, ssl_keyfile=str(chain), **common)
    servers = [uvicorn.Server(graph), uvicorn.Server(uvicorn.Config(Control(service), **common))]
    for server in servers:
        server.config.load()
    if isinstance(graph.ssl, ssl.SSLContext):
        graph.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    graph_port, control_port = (listener.getsockname()[1] for listener in sockets)
    scenario = service.scenario
    address = Address(
        base_url=f"https://{_HOST}:{graph_port}/v1.0",
        authority=f"https://{_HOST}:{graph_port}/{service.tenant.tenant_id}",
        ca_path=ca_path,
        control_url=f"http://{_HOST}:{control_port}/_sim",
        tenant_id=service.tenant.tenant_id,
        client_id=scenario.client_id,
        client_secret=scenario.client_secret,
        administrator=service.tenant.people.administrator.upn,
    )
    return address, servers, sockets


def _serve(servers: list[uvicorn.Server], sockets: list[socket.socket]) -> None:
    """Serve until every server was told to stop."""

    async def both() -> None:
        for server in servers:
            # In a thread there are no signals to capture; in the child the parent decides.
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(server.serve([s]) for server, s in zip(servers, sockets, strict=True)))
        await _abort_connections(servers)

    asyncio.run(both())
    for listener in sockets:
        listener.close()


async def _abort_connections(servers: list[uvicorn.Server]) -> None:
    """A server told to stop at once leaves TLS connections that are still saying goodbye to a loop that is gone."""
    for server in servers:
        for connection in tuple(server.server_state.connections):
            connection.transport.abort()
    for _ in range(3):  # the loop closes an aborted connection in its next rounds
        await asyncio.sleep(0)


def run(
    port: int = 0,
    users: int | None = None,
    messages_per_month: int | None = None,
    seed: int | None = None,
    scenario_file: Path | None = None,
) -> None:
    """Serve in the foreground until interrupted (the command `simulate-tenant`): prints how to reach it.

    Options win over the scenario file. Raises ScenarioError or SimulatorError with one line.
    """
    scenario = load_scenario(scenario_file) if scenario_file else Scenario()
    options = {"users": users, "messages_per_month": messages_per_month, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    scenario = replace(scenario, **given)
    Faults(scenario.seed, scenario.faults)  # a wrong rule is told here, not by the process
    with SimulatorServer(scenario, port=port) as server:
        print(f"# simulated tenant: {scenario.users} users, {scenario.messages_per_month} messages a month, ", end="")
        print(f"{scenario.months[0]} to {scenario.months[-1]}, seed {scenario.seed}")
        for name, value in server.address.settings().items():
            print(f"export {name}={value}")
        print(f"# may give consent: {server.address.administrator}")
        print(f"# control plane: {server.address.control_url}; stop with Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            if server._runner is not None:
                server._runner.wait()
