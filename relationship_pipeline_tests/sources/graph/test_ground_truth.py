"""The crawl against the simulator's truth, as sets: nothing lost, nothing doubled, whatever goes wrong on the way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.simulator.scenario import Realism, Scenario
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.sources.base import ReadScope, Staged
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import QUICK

MONTH = "2026-03"
NOW = datetime(2026, 5, 20, tzinfo=UTC)
WITHOUT_MAILBOX = frozenset({"guest", "unlicensed", "on_premises"})

FAULTS: dict[str, list[dict[str, Any]]] = {
    "F1": [
        {"kind": "F1", "variant": variant, "rate": 0.06, "seconds": 0.05}
        for variant in ("decimal", "integer", "missing", "always_1")
    ],
    "F1 date": [{"kind": "F1", "variant": "date", "rate": 0.03, "seconds": 1.0}],
    "F2": [{"kind": "F2", "variant": "decimal", "rate": 0.3, "seconds": 0.1}],
    "F3": [{"kind": "F3", "variant": v, "rate": 0.08, "seconds": 0.05} for v in ("json", "empty", "retry_after")],
    "F4": [{"kind": "F4", "variant": v, "rate": 0.06} for v in ("500", "502", "504")],
    "F5": [
        {"kind": "F5", "variant": v, "rate": 0.03}
        for v in ("reset_before_headers", "reset_after_headers", "short_body", "chunked_cut", "gzip_cut", "json_cut")
    ],
    "F6": [{"kind": "F6", "rate": 0.01, "count": 4, "bytes_per_second": 1.0}],
    "F7": [{"kind": "F7", "variant": v, "rate": 0.06} for v in ("error_object", "empty_value")],
    "F8": [{"kind": "F8", "variant": v, "rate": 0.08} for v in ("repeat", "previous", "missing")],
    "F9": [{"kind": "F9", "variant": v, "rate": 0.1} for v in ("duplicate", "moved")],
    "F11": [{"kind": "F11", "variant": "once", "rate": 0.05}],
    "F12": [{"kind": "F12", "rate": 0.02, "count": 5}],
    "F16": [{"kind": "F16", "row": 7}],
    "F17": [{"kind": "F17", "rate": 0.1}],
    "F18": [{"kind": "F18", "variant": "null_members"}],
    "F19": [{"kind": "F19", "rate": 0.3, "seconds": 420.0}],
    "F21": [
        {"kind": "F21", "variant": v, "count": 1, "seconds": 1.0}
        for v in ("throttled", "server_error", "discovery_down")
    ],
}
ALONE = [name for name in FAULTS if name != "F16"]


def scenario(seed: int, faults: list[dict[str, Any]], **changes: Any) -> Scenario:
    values: dict[str, Any] = {
        "users": 8,
        "months": (MONTH,),
        "messages_per_month": 900,
        "realism": Realism.everything(),
        "now": "2026-05-20T00:00:00Z",
        **changes,
    }
    return Scenario(seed=seed, faults=tuple(faults), **values)


def settings_of(server: SimulatorServer, **changes: Any) -> GraphSettings:
    address = server.address
    values = {
        "tenant_id": address.tenant_id,
        "client_id": address.client_id,
        "client_secret": address.client_secret,
        "base_url": address.base_url,
        "authority": address.authority,
        "ca_bundle": address.ca_path,
        "page_size": 25,
        **changes,
    }
    return GraphSettings(**values)


class Tenant:
    """A running simulator, a source that reads it, and its truth."""

    def __init__(self, server: SimulatorServer, folder: Path, **settings: Any) -> None:
        self.server = server
        self.settings = settings_of(server, **settings)
        from dataclasses import replace

        self.source = GraphSource(self.settings, patience=replace(QUICK, whole=4.0, tries=8), now=lambda: NOW)
        self.stage = folder / "stage"
        self.stage.mkdir(exist_ok=True)
        self.people = server.control("scenario")["users"]

    @property
    def everyone(self) -> list[str]:
        return [user["id"] for user in self.people]

    def emails(self) -> Staged:
        return self.source.stage_emails(MONTH, ReadScope(self.everyone), self.stage, lambda: None, lambda line: None)

    def meetings(self) -> Staged:
        return self.source.stage_meetings(MONTH, ReadScope(self.everyone), self.stage, lambda: None, lambda line: None)

    def true_copies(self) -> dict[tuple[str, str], dict[str, Any]]:
        messages = self.server.control(f"truth?month={MONTH}")["messages"]
        return {
            (copy["mailbox"], copy["id"]): {**message, **copy} for message in messages for copy in message["copies"]
        }

    def true_meetings(self) -> set[tuple[str, str, str]]:
        meetings = self.server.control(f"meetings?month={MONTH}")["meetings"]
        return {(m["iCalUId"], m["start"], mailbox) for m in meetings for mailbox in m["mailboxes"]}

    def assert_polite(self) -> None:
        """Never sooner than Retry-After, never above 4 in flight on a mailbox, never another host."""
        limiter = self.server.control("limiter")
        assert sum(lane["early"] for lane in limiter["mailboxes"].values()) == 0
        assert limiter["directory_early"] == 0
        assert max(lane["most_in_flight"] for lane in limiter["mailboxes"].values()) <= 4
        hosts = {entry["host"] for entry in self.server.control("requests")}
        assert hosts == {self.settings.base_url.split("/")[2] if self.settings.base_url else ""}


@contextmanager
def tenant(folder: Path, simulated: Scenario, **settings: Any) -> Iterator[Tenant]:
    with SimulatorServer(simulated, process=False) as server:
        yield Tenant(server, folder, **settings)


def rows(staged: Staged) -> list[dict[str, Any]]:
    return pa.concat_tables(pq.read_table(path) for path in staged.files).to_pylist() if staged.files else []


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def assert_truth(tenant: Tenant, staged: Staged, unreadable: int = 0) -> None:
    found = [(row["mailbox"], row["item_id"]) for row in rows(staged)]
    true = tenant.true_copies()
    lost, ghosts = true.keys() - set(found), set(found) - true.keys()
    assert (len(lost), len(ghosts)) == (unreadable, 0)
    assert len(found) == len(set(found)), "a copy is staged twice"
    assert staged.mailboxes["parked"] == staged.mailboxes["refused"] == 0
    assert staged.mailboxes["done"] == staged.mailboxes["expected"] - staged.mailboxes["no_mailbox"]


def assert_true_meetings(tenant: Tenant, staged: Staged) -> None:
    found = [(row["ical_uid"], iso(row["start_at"]), row["mailbox"]) for row in rows(staged)]
    assert set(found) == tenant.true_meetings()
    assert len(found) == len(set(found))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tenant_with_every_realism_feature_is_read_whole_and_right(tmp_path: Path, seed: int) -> None:
    with tenant(tmp_path, scenario(seed, [])) as simulated:
        staged = simulated.emails()
        assert_truth(simulated, staged)
        assert_true_meetings(simulated, simulated.meetings())
        true = simulated.true_copies()
        left_out = {"drafts", "junk", "deleted", "sync_issues", "conversation_history"}
        for row in rows(staged):
            copy = true[row["mailbox"], row["item_id"]]
            assert iso(row["received_at"]) == copy["received"]
            assert row["internet_message_id"] == copy["internetMessageId"]
            assert row["is_draft"] == copy["draft"] and row["is_meeting_message"] == copy["meetingMessage"]
            assert (not row["is_draft"] and row["folder_class"] not in left_out) == copy["expected"]
            assert (len(row["to_addresses"]), len(row["cc_addresses"])) == (len(copy["to"]), len(copy["cc"]))
        simulated.assert_polite()


@pytest.mark.parametrize("name", ALONE)
def test_a_fault_class_alone_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    with tenant(tmp_path, scenario(11, FAULTS[name])) as simulated:
        assert_truth(simulated, simulated.emails())
        assert_true_meetings(simulated, simulated.meetings())
        groups = [group["id"] for group in simulated.server.control("groups")]
        members = simulated.source.read_directory(groups).group_members.to_pylist()
        true = {(g["id"], user) for g in simulated.server.control("groups") for user in g["transitive"]}
        assert {(member["group_id"], member["user_id"]) for member in members} == true
        assert simulated.server.control("faults")["struck"] or name in ("F17", "F19")
        simulated.assert_polite()


def test_f16_a_corrupt_item_in_every_mailbox_costs_that_item(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(5, FAULTS["F16"])) as simulated:
        staged = simulated.emails()
        corrupt = staged.rejected["corrupt_item"]
        assert corrupt > 0 and staged.partial_reasons
        assert_truth(simulated, staged, unreadable=corrupt)


@pytest.mark.parametrize("seed", [21, 22])
def test_all_fault_classes_together_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    gentle = [
        {
            **rule,
            "rate": rule.get("rate", 1.0) / 6,
            "variant": "decimal" if rule.get("variant") in _WHOLE else rule.get("variant", ""),
        }
        for name in ALONE
        for rule in FAULTS[name]
        if name not in ("F18", "F6")
    ]
    with tenant(tmp_path, scenario(seed, gentle)) as simulated:
        assert_truth(simulated, simulated.emails())
        assert_true_meetings(simulated, simulated.meetings())
        simulated.assert_polite()


_WHOLE = ("integer", "always_1")
"""Variants that wait whole seconds: kept for the test of F1 alone."""


_connected: list[tuple[str, int]] | None = None


def _note_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook stays for good; it only notes while a test asks it to."""
    if _connected is not None and event == "socket.connect" and isinstance(arguments[1], tuple):
        _connected.append(arguments[1][:2])
    elif _connected is not None and event == "socket.getaddrinfo":
        _connected.append(arguments[:2])


@contextmanager
def connections() -> Iterator[list[tuple[str, int]]]:
    """Hosts and ports that this process looks up or connects to, whichever library does it."""
    global _connected
    sys.addaudithook(_note_connections)
    _connected = []
    try:
        yield _connected
    finally:
        _connected = None


def test_nothing_is_connected_to_but_the_configured_host(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(4, FAULTS["F5"] + FAULTS["F8"])) as simulated:
        ours = urlsplit(simulated.server.address.base_url).netloc
        everyone = ReadScope(simulated.everyone)
        with connections() as seen:
            simulated.source.read_directory([])
            simulated.source.stage_emails(MONTH, everyone, simulated.stage, lambda: None, lambda line: None)
            simulated.source.stage_meetings(MONTH, everyone, simulated.stage, lambda: None, lambda line: None)
            assert {f"{host}:{port}" for host, port in seen} == {ours}
            simulated.server.control("limiter")
            assert {f"{host}:{port}" for host, port in seen} != {ours}, "another port would have been seen"


def test_no_address_name_id_or_token_reaches_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    with tenant(tmp_path, scenario(3, FAULTS["F3"] + FAULTS["F8"])) as simulated:
        source, scope = simulated.source, ReadScope(simulated.everyone)
        source.read_directory([])
        source.stage_emails(MONTH, scope, simulated.stage, lambda: None, lines.append)
        source.stage_meetings(MONTH, scope, simulated.stage, lambda: None, lines.append)
        secrets = [value for user in simulated.people for value in (user["id"], user["upn"], user["mail"]) if value]
    out, err = capfd.readouterr()
    written = "\n".join([*lines, caplog.text, out, err])
    assert lines and not [secret for secret in secrets if secret in written]
    assert "@" not in written and "Bearer" not in written and "eyJ" not in written and "/users/" not in written
    logging.getLogger("relationship_pipeline").debug("reading %s", secrets[0])
    assert secrets[0] in caplog.text, "a line that leaks would have been seen"
