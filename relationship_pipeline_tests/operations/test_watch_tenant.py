"""A withdrawal that only the directory records, against a simulated tenant, on a virtual clock (C6, graph.md 4.2-4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.watch import watch_directory
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.domain.erasure import ErasureState
from relationship_pipeline.erasure.progress import ErasureProgress
from relationship_pipeline.erasure.run import run_all
from relationship_pipeline.errors import Refused
from relationship_pipeline.operations.deletion import look_at_grants
from relationship_pipeline.settings import Settings
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.sources.graph.access import GraphAccess
from relationship_pipeline.sources.graph.directory import Probe
from relationship_pipeline_tests.erasure.lived_in import NOW, Home, consented, live_in
from relationship_pipeline_tests.sources.graph.scripted import QUICK
from relationship_pipeline_tests.sources.graph.test_ground_truth import scenario, settings_of

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(scenario(51, []), process=False) as simulator:
        yield simulator


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return live_in(consented(tmp_path / "data"))


class Watch:
    """What `consent_watch_sensor` and the sensor of withdrawals do, at a time of the test's choosing."""

    def __init__(self, home: Home, server: SimulatorServer, **graph: Any) -> None:
        self.home = home
        self.settings = Settings(data_dir=home.layout.root, source="graph", graph=settings_of(server, **graph))

    def look(self, at: datetime) -> ConsentState | None:
        return watch_directory(
            self.home.layout,
            lambda: look_at_grants(self.settings, replace(QUICK, sign_in_wait=0.0)),
            at,
            grant_mode=self.settings.graph.grant_mode,
            application=f"{self.settings.graph.tenant_id}/{self.settings.graph.client_id}",
        )

    def erase(self, at: datetime) -> ErasureState | None:
        """One turn of the motor; None where nothing was withdrawn."""
        try:
            return run_all(self.home.deletion(now=lambda: at))[-1].state
        except Refused:
            return None


def test_c6_a_permission_revoked_in_the_directory_is_deleted_after_12_hours_unless_it_comes_back(
    home: Home, server: SimulatorServer
) -> None:
    watch = Watch(home, server)
    assert watch.look(NOW) is ConsentState.GRANTED
    server.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
    assert watch.look(NOW + HOUR) is ConsentState.SUSPECT
    assert watch.look(NOW + HOUR + 5 * MINUTE) is ConsentState.PRESUMED_WITHDRAWN
    assert watch.erase(NOW + 12 * HOUR) is None
    assert home.tree.lake.exists(), "fenced, and nothing deleted"
    server.control("roles/grant", {"role": "Mail.ReadBasic.All"})
    assert watch.look(NOW + 12 * HOUR + MINUTE) is ConsentState.GRANTED
    assert watch.erase(NOW + 40 * HOUR) is None

    server.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
    gone = NOW + 48 * HOUR
    watch.look(gone)
    assert watch.look(gone + 15 * MINUTE) is ConsentState.PRESUMED_WITHDRAWN
    assert watch.erase(gone + 12 * HOUR - MINUTE) is None
    assert watch.erase(gone + 12 * HOUR) is ErasureState.CLOSED
    assert not home.tree.root.exists()
    (erasure,) = ErasureProgress(home.layout).all()
    assert (erasure.source, erasure.due_app) == ("directory", gone + 24 * HOUR)


@pytest.mark.parametrize("sentinel", [True, False], ids=["sentinel", "no sentinel"])
def test_c6_a_grant_in_exchange_is_seen_by_reading_the_sentinel_and_only_ever_suspected(
    home: Home, sentinel: bool
) -> None:
    with SimulatorServer(scenario(51, [], grant_mode="exchange_rbac"), process=False) as server:
        someone = server.control("scenario")["users"][0]["id"]
        watch = Watch(home, server, grant_mode="exchange_rbac", sentinel_mailbox=someone if sentinel else None)
        assert watch.look(NOW) is ConsentState.GRANTED
        server.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
        for hours in range(1, 30):
            expected = ConsentState.SUSPECT if sentinel else ConsentState.GRANTED
            assert watch.look(NOW + hours * HOUR) is expected
        server.control("roles/grant", {"role": "Mail.ReadBasic.All"})
        assert watch.look(NOW + 30 * HOUR) is ConsentState.GRANTED


def test_c6_a_mistyped_client_id_deletes_nothing(home: Home, server: SimulatorServer) -> None:
    assert Watch(home, server).look(NOW) is ConsentState.GRANTED
    mistyped = Watch(home, server, client_id="00000000-0000-4000-8000-000000000000")
    for hours in (1, 2, 24):
        assert mistyped.look(NOW + hours * HOUR) is ConsentState.GRANTED
        assert mistyped.erase(NOW + hours * HOUR) is None


STORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "the secret has expired": ("app", {"secret_valid": False}),
    "429 from the directory": ("faults", {"kind": "F2", "variant": "decimal", "seconds": 0.005}),
    "500 from the sign-in": ("faults", {"kind": "F21", "variant": "server_error"}),
    "503 from everything": ("faults", {"kind": "F3"}),
    "403 from every mailbox": ("faults", {"kind": "F14", "variant": "access_denied"}),
}


@pytest.mark.parametrize("storm", STORMS)
def test_c6_a_storm_of_hours_deletes_nothing(storm: str, home: Home, server: SimulatorServer) -> None:
    watch = Watch(home, server)
    someone = server.control("scenario")["users"][0]["id"]
    server.control(*STORMS[storm])
    for hour in range(0, 30, 6):
        assert watch.look(NOW + hour * HOUR) is ConsentState.GRANTED
        assert watch.erase(NOW + hour * HOUR) is None
    if "mailbox" in storm:
        assert GraphAccess(watch.settings.graph, QUICK).probe_mailbox(someone) is Probe.REFUSED
    assert ControlLedger(home.layout).live_epochs() == [home.epoch]
    assert (home.tree.published / "salesperson.duckdb").exists()
