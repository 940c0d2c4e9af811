"""The directory, consent and sign-in against the simulator: what is there, what is withdrawn, what is only broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from relationship_pipeline.errors import BadInput, ConsentRefused, PipelineError, Refused, TryAgain
from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline.sources.base import ReadScope
from relationship_pipeline.sources.graph.access import GraphAccess
from relationship_pipeline.sources.graph.auth import SignInBusy, TokenRefused, Trouble
from relationship_pipeline.sources.graph.directory import Probe, licences
from relationship_pipeline.sources.graph.doctor import examine_tenant
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import (
    QUICK,
    Reply,
    Request,
    ScriptedGraph,
    graph_error,
    json_reply,
)
from relationship_pipeline_tests.sources.graph.test_ground_truth import (
    MONTH,
    NOW,
    Tenant,
    assert_truth,
    scenario,
    settings_of,
    tenant,
)


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(scenario(51, []), process=False) as simulator:
        yield simulator


def people_of(server: SimulatorServer) -> list[dict[str, Any]]:
    return server.control("scenario")["users"]


def test_users_addresses_groups_and_domains_are_read_with_every_alias(server: SimulatorServer) -> None:
    groups = server.control("groups")
    source = GraphSource(settings_of(server), opt_out_attribute="extensionAttribute7", patience=QUICK)
    someone = people_of(server)[0]
    server.control("users/extension", {"user": someone["id"], "attribute": "extensionAttribute7", "value": "out"})
    read = source.read_directory([group["id"] for group in groups])
    users = {row["user_id"]: row for row in read.users.to_pylist()}
    assert users.keys() == {person["id"] for person in people_of(server)}
    assert users[someone["id"]]["opt_out_attribute"] == "out"
    guests = {person["id"] for person in people_of(server) if person["kind"] == "guest"}
    assert guests and {user for user, row in users.items() if not row["is_member"]} == guests
    members = {(row["group_id"], row["user_id"]) for row in read.group_members.to_pylist()}
    assert members == {(group["id"], user) for group in groups for user in group["transitive"]}
    assert any(group["groups"] for group in groups), "nested groups are among them"
    addresses = read.addresses.column("address").to_pylist()
    assert any(address.startswith("x500:") for address in addresses)
    assert len(addresses) == len(set(addresses)) and all(address == address.lower() for address in addresses)
    assert {row["domain"] for row in read.domains.to_pylist()} == set(server.control("scenario")["domains"])


def test_o1_a_missing_or_unreadable_opt_out_group_stops_the_run(server: SimulatorServer) -> None:
    source = GraphSource(settings_of(server), patience=QUICK)
    with pytest.raises(BadInput, match="does not exist"):
        source.read_directory(["00000000-0000-0000-0000-000000000000"])
    group = server.control("groups")[0]["id"]
    server.control("faults", {"kind": "F18", "variant": "forbidden"})
    with pytest.raises(BadInput, match="may not be read"):
        source.read_directory([group])
    server.control("faults/clear", {})
    server.control("faults", {"kind": "F4", "variant": "500", "endpoint": "groups"})
    with pytest.raises(TryAgain, match="could not be read"):
        source.read_directory([group])


def test_a_directory_or_sign_in_that_is_in_trouble_is_worth_another_try_and_a_refusal_is_not(
    graph: ScriptedGraph, graph_settings: GraphSettings
) -> None:
    graph.collections = {"users": [], "domains": []}
    source = GraphSource(graph_settings, patience=replace(QUICK, sign_in_wait=0.0))
    for fault in (graph_error(503, "serviceNotAvailable"), graph_error(429, "TooManyRequests", Retry_After="0")):
        graph.bend = lambda request, reply, fault=fault: fault if request.kind == "users" else None  # type: ignore[misc]
        with pytest.raises(TryAgain):
            source.read_directory([])
    graph.bend = lambda request, reply: graph_error(403, "Authorization_RequestDenied")
    with pytest.raises(PipelineError) as refused:
        source.read_directory([])
    assert not isinstance(refused.value, TryAgain)
    graph.bend_token = lambda number: json_reply({"error": "temporarily_unavailable"}, 503)
    with pytest.raises(TryAgain):
        source.read_directory([])
    graph.bend_token = lambda number: json_reply({"error": "invalid_client", "error_codes": [7000222]}, 401)
    with pytest.raises(TokenRefused) as expired:
        source.read_directory([])
    assert not isinstance(expired.value, TryAgain)


@pytest.mark.parametrize("trouble", [Reply(503, b""), Reply(504, b"x")], ids=["503", "504"])
def test_trap_9_a_directory_behind_a_gateway_in_trouble_is_asked_as_patiently_as_anything(
    graph: ScriptedGraph, graph_settings: GraphSettings, trouble: Reply
) -> None:
    graph.collections = {"users": [{"id": "amber"}], "domains": []}
    last = QUICK.tries
    graph.bend = lambda request, reply: trouble if request.kind == "users" and request.ordinal < last else None
    assert GraphSource(graph_settings, patience=QUICK).read_directory([]).users.num_rows == 1
    assert len({request.path for request in graph.asked("users")}) == 1 and len(graph.asked("users")) == last


def test_o1_a_group_whose_members_are_hidden_from_us_stops_the_run(
    graph: ScriptedGraph, graph_settings: GraphSettings
) -> None:
    graph.collections = {"groups/lawyers/transitiveMembers": [], "users": [], "domains": []}
    graph.bend = lambda request, reply: (
        json_reply({"id": "lawyers", "visibility": "HiddenMembership"}) if request.path.endswith("lawyers") else None
    )
    source = GraphSource(graph_settings, patience=QUICK)
    with pytest.raises(BadInput, match=r"Member\.Read\.Hidden"):
        source.read_directory(["lawyers"])
    graph.roles = (*graph.roles, "Member.Read.Hidden")
    assert not source.read_directory(["lawyers"]).group_members.num_rows


def test_o1_a_group_with_hidden_members_deep_within_an_opt_out_group_stops_the_run(
    graph: ScriptedGraph, graph_settings: GraphSettings
) -> None:
    group = {"@odata.type": "#microsoft.graph.group"}
    amber = {"id": "amber", "@odata.type": "#microsoft.graph.user"}
    # What the service answers without the right to see hidden members: the group is named, who is in it is left out.
    seen = [amber, {"id": "deals", **group}, {"id": "secret-deals", **group}]
    graph.collections = {"groups/lawyers/transitiveMembers": seen, "users": [], "domains": []}
    hidden = {"lawyers": None, "deals": "Private", "secret-deals": "HiddenMembership"}

    def visibility(request: Request, reply: Reply) -> Reply | None:
        name = request.path.rpartition("/")[2]
        return json_reply({"id": name, "visibility": hidden[name]}) if name in hidden else None

    graph.bend = visibility
    source = GraphSource(graph_settings, patience=QUICK)
    with pytest.raises(BadInput, match=r"secret-deals, a member of group lawyers, .* Member\.Read\.Hidden"):
        source.read_directory(["lawyers"])
    hidden["secret-deals"] = "Public"
    members = source.read_directory(["lawyers"]).group_members.to_pylist()
    assert members == [{"group_id": "lawyers", "user_id": "amber"}]
    hidden["secret-deals"] = "HiddenMembership"
    graph.roles = (*graph.roles, "Member.Read.Hidden")
    assert source.read_directory(["lawyers"]).group_members.num_rows == 1


@pytest.mark.parametrize("size", [999, 1_500])
@pytest.mark.parametrize("lost", [1, 100])
def test_o1_a_lost_link_to_more_members_of_an_opt_out_group_is_found_or_stops_the_run(
    graph: ScriptedGraph, graph_settings: GraphSettings, size: int, lost: int
) -> None:
    members = [{"id": f"user-{number}", "@odata.type": "#microsoft.graph.user"} for number in range(size)]
    graph.collections = {"groups/lawyers/transitiveMembers": members, "users": [], "domains": []}
    pages = 0

    def bend(request: Request, reply: Reply) -> Reply | None:
        nonlocal pages
        if request.path.endswith("lawyers"):
            return json_reply({"id": "lawyers"})
        if request.path.endswith("$count"):
            return Reply(200, str(size).encode(), {"content-type": "text/plain"})
        if request.path.endswith("transitiveMembers"):
            pages += 1
            return json_reply({"value": json.loads(reply.body)["value"]}) if pages <= lost else None
        return None

    graph.bend = bend
    source = GraphSource(graph_settings, patience=QUICK)
    if size > 999 and lost > 1:
        with pytest.raises(TryAgain, match="count_short"):
            source.read_directory(["lawyers"])
    else:
        assert source.read_directory(["lawyers"]).group_members.num_rows == size


@pytest.mark.parametrize("count", [graph_error(404, "Request_ResourceNotFound"), json_reply({"value": []})])
def test_o1_an_opt_out_group_of_one_full_page_that_nobody_counts_is_believed(
    graph: ScriptedGraph, graph_settings: GraphSettings, count: Reply
) -> None:
    members = [{"id": f"user-{number}", "@odata.type": "#microsoft.graph.user"} for number in range(999)]
    graph.collections = {"groups/lawyers/transitiveMembers": members, "users": [], "domains": []}
    answers = {"lawyers": json_reply({"id": "lawyers"}), "$count": count}
    graph.bend = lambda request, reply: answers.get(request.path.rpartition("/")[2])
    assert GraphSource(graph_settings, patience=QUICK).read_directory(["lawyers"]).group_members.num_rows == 999


def test_o1_a_reading_of_groups_is_dated_before_it_began(graph: ScriptedGraph, graph_settings: GraphSettings) -> None:
    asked_at: list[datetime] = []
    graph.collections = {"groups/lawyers/transitiveMembers": [], "users": [], "domains": []}

    def note(request: Request, reply: Reply) -> Reply | None:
        asked_at.append(datetime.now(UTC))
        return json_reply({"id": "lawyers"}) if request.path.endswith("lawyers") else None

    graph.bend = note
    read = GraphSource(graph_settings, patience=QUICK).read_directory(["lawyers"])
    assert read.read_at < min(asked_at)


def test_a_large_directory_is_read_over_pages_with_its_count(tmp_path: Path) -> None:
    big = scenario(52, [{"kind": "F7", "variant": "empty_value", "endpoint": "users", "rate": 0.4}], users=1_100)
    with SimulatorServer(big, process=False) as server:
        read = GraphSource(settings_of(server), patience=QUICK).read_directory([])
        assert read.users.num_rows == len(people_of(server)) > 1_000


def test_c1_who_is_global_administrator_and_what_is_granted(server: SimulatorServer) -> None:
    access = GraphAccess(settings_of(server), QUICK)
    administrator = server.address.administrator
    assert access.is_global_admin(administrator) and access.is_global_admin(administrator.upper())
    assert access.is_global_admin(people_of(server)[0]["upn"]) is False
    grants = access.read_grants()
    assert grants.found and grants.enabled and grants.missing([{"Mail.ReadBasic.All"}]) == []
    assert access.ask(licences) == ["DYN365_SALES_PREMIUM"]
    someone = people_of(server)[0]["id"]
    assert access.probe_mailbox(someone) is Probe.READABLE
    server.control("roles/revoke", {"role": "RoleManagement.Read.Directory"})
    server.control("roles/revoke", {"role": "Organization.Read.All"})
    assert access.is_global_admin(administrator) is None and access.ask(licences) is None
    server.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
    assert access.read_grants().missing([{"Mail.ReadBasic.All", "Mail.ReadBasic"}]) == ["Mail.ReadBasic.All"]
    assert access.probe_mailbox(someone) is Probe.REFUSED


@pytest.mark.parametrize(
    ("change", "trouble", "says"),
    [
        ({"enabled": False}, Trouble.WITHDRAWN, "AADSTS7000112"),
        ({"deleted": True}, Trouble.WITHDRAWN, "AADSTS7000229|AADSTS700016"),
        ({"secret_valid": False}, Trouble.OPERATIONS, "AADSTS70002"),
    ],
)
def test_c6_what_the_sign_in_service_says_is_a_withdrawal_or_a_fault(
    server: SimulatorServer, change: dict[str, Any], trouble: Trouble, says: str
) -> None:
    server.control("app", change)
    with pytest.raises(TokenRefused, match=says) as refused:
        GraphAccess(settings_of(server), QUICK).read_grants()
    assert refused.value.trouble is trouble


PROXY_PAGE = b"<html>anna@contoso.com is blocked</html>"
CONSENT_WORDS = {"error": "unauthorized_client", "error_codes": [700016]}


@pytest.mark.parametrize(
    "strange",
    [
        Reply(429, b"{}", {"retry-after": "1"}),
        Reply(429, PROXY_PAGE),
        Reply(503, b""),
        Reply(200, PROXY_PAGE),
        Reply(403, PROXY_PAGE),
        Reply(200, b"[]"),
        json_reply({"error": "invalid_request", "error_codes": [90055]}, 429),
        json_reply(CONSENT_WORDS, 429),
        json_reply(CONSENT_WORDS, 503),
    ],
    ids=["429", "429 page", "503", "200 page", "403 page", "200 list", "90055", "429 consent", "503 consent"],
)
@pytest.mark.parametrize("where", ["discovery", "token"])
def test_c6_a_sign_in_that_is_throttled_or_answered_by_a_proxy_passes_and_is_no_withdrawal(
    graph: ScriptedGraph, graph_settings: GraphSettings, where: str, strange: Reply
) -> None:
    graph.collections = {"users": [], "domains": []}
    asked = []

    def bend(*_: int) -> Reply | None:
        asked.append(where)
        return strange

    if where == "discovery":
        graph.bend_discovery = bend
    else:
        graph.bend_token = bend
    with pytest.raises(SignInBusy) as busy:
        GraphSource(graph_settings, patience=replace(QUICK, sign_in_wait=0.0)).read_directory([])
    assert busy.value.trouble is Trouble.OPERATIONS
    assert "tenant_id" not in str(busy.value) and "anna" not in str(busy.value)
    assert where == "token" or len(asked) > 1, "it was asked again"
    graph.bend_discovery = graph.bend_token = None
    GraphSource(graph_settings, patience=QUICK).read_directory([])


@pytest.mark.parametrize(
    ("discovery", "says"),
    [
        (json_reply({"error": "invalid_tenant", "error_codes": [90002]}, 400), "does not know the tenant"),
        (json_reply({"anna@contoso.com": 1}), "signing in failed"),
    ],
    ids=["unknown tenant", "a document of something else"],
)
def test_c6_a_sign_in_that_does_not_know_us_is_one_line_and_no_withdrawal(
    graph: ScriptedGraph, graph_settings: GraphSettings, discovery: Reply, says: str
) -> None:
    graph.bend_discovery = lambda: discovery
    with pytest.raises(TokenRefused, match=says) as refused:
        GraphSource(graph_settings, patience=QUICK).read_directory([])
    assert refused.value.trouble is Trouble.OPERATIONS and not isinstance(refused.value, TryAgain)
    assert "anna" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_certificate_signs_in(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("app.example", key_type=trustme.KeyType.RSA)
    certificate = issued.cert_chain_pems[0].bytes()
    path = tmp_path / "app.pem"
    path.write_bytes(issued.private_key_pem.bytes() + certificate)
    with SimulatorServer(scenario(61, [], client_certificate=certificate.decode()), process=False) as server:
        settings = settings_of(server, client_secret=None, certificate_path=path)
        assert GraphAccess(settings, QUICK).read_grants().found


def test_a_token_with_more_than_metadata_permissions_is_refused(server: SimulatorServer) -> None:
    server.control("roles/grant", {"role": "Mail.ReadWrite"})
    with pytest.raises(Refused, match=r"Mail\.ReadWrite"):
        GraphAccess(settings_of(server), QUICK).ask(licences)


def test_f13_a_role_revoked_in_a_crawl_sends_no_mail_request_after_the_next_token(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(53, []), max_concurrency=1) as t:
        revoked = False

        def checkpoint() -> None:
            nonlocal revoked
            if not revoked and len(list(t.stage.rglob("*.parquet"))) >= 2:
                t.server.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
                t.server.control("tokens/expire", {})
                t.server.control("requests/clear", {})
                revoked = True

        scope = ReadScope(t.everyone)
        with pytest.raises(TokenRefused, match=r"Mail\.ReadBasic\.All") as refused:
            t.source.stage_emails(MONTH, scope, t.stage, checkpoint, lambda line: None)
        assert refused.value.trouble is Trouble.WITHDRAWN
        answered = [entry for entry in t.server.control("requests") if entry["mailbox"] and entry["status"] == 200]
        assert not answered, "no mail was read after the revocation took effect"
        t.server.control("requests/clear", {})
        with pytest.raises(TokenRefused):
            t.emails()
        assert not [entry for entry in t.server.control("requests") if entry["mailbox"]]


def test_f12_a_token_that_expires_within_a_chain_of_pages_is_renewed(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(54, [{"kind": "F12", "endpoint": "messages", "nth": [2, 4]}])) as simulated:
        assert_truth(simulated, simulated.emails())


def test_f11_a_mailbox_that_calls_good_tokens_expired_is_parked_and_read_later(tmp_path: Path) -> None:
    rule = {"kind": "F11", "variant": "minutes", "endpoint": "messages", "seconds": 0.3, "nth": [1]}
    with tenant(tmp_path, scenario(55, [rule])) as simulated:
        simulated.source = GraphSource(simulated.settings, patience=replace(QUICK, park=0.4), now=lambda: NOW)
        assert_truth(simulated, simulated.emails())


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("not_enabled", "no_mailbox"),
        ("invalid_user", "gone"),
        ("resource_not_found", "gone"),
        ("empty", "parked"),
        ("info_stale", "done"),
        ("access_denied", "refused"),
    ],
)
def test_f14_a_mailbox_that_does_not_answer_does_not_stop_the_others(tmp_path: Path, state: str, outcome: str) -> None:
    with tenant(tmp_path, scenario(56, [])) as simulated:
        before = simulated.emails().mailboxes
        member = next(user for user in simulated.people if user["kind"] == "member")
        simulated.server.control("mailboxes", {"user": member["id"], "state": state})
        again = tmp_path / "again"
        again.mkdir()
        simulated.stage = again
        after = simulated.emails().mailboxes
        assert after["expected"] == before["expected"]
        if outcome == "done":
            assert after == before
        else:
            assert after[outcome] == before[outcome] + 1 and after["done"] == before["done"] - 1


def test_c4_consent_is_asked_between_units_and_stops_the_crawl(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(57, []), max_concurrency=1) as simulated:
        asked = 0

        def checkpoint() -> None:
            nonlocal asked
            asked += 1
            if asked > 6:
                raise ConsentRefused("consent is gone")

        with pytest.raises(ConsentRefused):
            simulated.source.stage_emails(
                MONTH, ReadScope(simulated.everyone), simulated.stage, checkpoint, lambda line: None
            )
        assert len(list(simulated.stage.rglob("*.parquet"))) <= 6


def test_an_epoch_that_was_erased_in_the_crawl_does_not_come_back(tmp_path: Path) -> None:
    import shutil

    with tenant(tmp_path, scenario(58, []), max_concurrency=1) as simulated:
        asked = 0

        def checkpoint() -> None:
            nonlocal asked
            asked += 1
            if asked == 5:
                while simulated.stage.exists():  # like the eraser: again, where a part was put while it swept
                    shutil.rmtree(simulated.stage, ignore_errors=True)

        with pytest.raises(PipelineError):  # ConsentRefused, or what a half-removed file says
            simulated.source.stage_emails(
                MONTH, ReadScope(simulated.everyone), simulated.stage, checkpoint, lambda line: None
            )
        assert not simulated.stage.exists()


def test_most_mailboxes_refusing_is_a_lost_permission_and_not_an_empty_month(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(59, [], users=16)) as simulated:
        members = [user for user in simulated.people if user["kind"] == "member"]
        for member in members[:12]:
            simulated.server.control("mailboxes", {"user": member["id"], "state": "access_denied"})
        with pytest.raises(PipelineError, match="refuses"):
            simulated.emails()


def test_c7_doctor_says_what_is_missing_in_the_admins_words(server: SimulatorServer) -> None:
    settings = settings_of(server)
    found = {name: (verdict, advice) for name, verdict, advice in examine_tenant(settings, QUICK)}
    assert {verdict for verdict, _ in found.values()} <= {"pass", "cannot tell"}
    assert found["mailbox"][0] == found["licences"][0] == found["consent in the directory"][0] == "pass"
    server.control("roles/revoke", {"role": "Calendars.ReadBasic.All"})
    server.control("roles/revoke", {"role": "Organization.Read.All"})
    found = {name: (verdict, advice) for name, verdict, advice in examine_tenant(settings, QUICK)}
    assert found["Calendars.ReadBasic.All"][0] == "fail" and "admin consent" in found["Calendars.ReadBasic.All"][1]
    assert found["consent in the directory"][0] == "fail"
    assert found["licences"][0] == "cannot tell" and "Organization.Read.All" in found["licences"][1]
    server.control("app", {"secret_valid": False})
    assert examine_tenant(settings, QUICK)[0][:2] == ("sign-in", "fail")


def test_planned_meetings_are_those_of_the_window_alone(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(60, [])) as simulated:
        start, end = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
        scope = ReadScope(simulated.everyone)
        staged = simulated.source.stage_planned_meetings(
            start, end, scope, simulated.stage, lambda: None, lambda line: None
        )
        assert_window(simulated, staged, start, end)


def assert_window(simulated: Tenant, staged: Any, start: datetime, end: datetime) -> None:
    from relationship_pipeline_tests.sources.graph.test_ground_truth import iso, rows

    found = {(row["ical_uid"], iso(row["start_at"]), row["mailbox"]) for row in rows(staged)}
    assert found == {true for true in simulated.true_meetings() if iso(start) <= true[1] < iso(end)}
