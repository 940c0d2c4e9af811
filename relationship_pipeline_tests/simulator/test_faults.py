"""The fault catalogue (graph.md 8.4), each fault by its number and as a client meets it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from relationship_pipeline.simulator.faults import VARIANTS, Faults, rule_from
from relationship_pipeline.simulator.scenario import Realism, Scenario, ScenarioError
from relationship_pipeline.simulator.server import SimulatorServer
from relationship_pipeline_tests.simulator.conftest import FEBRUARY, Graph, scenario

LIST = {"$filter": FEBRUARY, "$orderby": "receivedDateTime asc", "$top": "20", "$select": "id,receivedDateTime"}


def strike(graph: Graph, kind: str, variant: str = "", **more: Any) -> None:
    graph.control("faults", {"kind": kind, "variant": variant, **more})


def code(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


# --- addressing -----------------------------------------------------------------------------------------------------


def test_a_fault_strikes_the_nth_request_of_one_mailbox_only(graph: Graph, mailbox: str) -> None:
    service = graph.server.service
    assert service is not None
    other = next(user.oid for user in service.tenant.people.users if user.oid != mailbox)
    before = service._ordinals["messages", mailbox]
    strike(graph, "F4", "500", mailbox=mailbox, nth=[before + 2])
    statuses = [graph.get(f"users/{mailbox}/messages").status_code for _ in range(3)]
    assert statuses == [200, 500, 200]
    assert graph.get(f"users/{other}/messages").status_code == 200


def test_faults_by_rate_are_the_same_for_the_same_seed() -> None:
    def draw(seed: int) -> list[bool]:
        faults = Faults(seed, ({"kind": "F3", "rate": 0.3},))
        return [faults.pick("messages", "box", "", n, 0.0) is not None for n in range(300)]

    assert draw(1) == draw(1) != draw(2)
    assert 50 < sum(draw(1)) < 130


def test_a_count_bounds_how_often_a_fault_strikes() -> None:
    faults = Faults(1, ({"kind": "F3", "count": 3},))
    assert sum(faults.pick("messages", "box", "", n, 0.0) is not None for n in range(50)) == 3


@pytest.mark.parametrize(
    "rule", [{"kind": "F99"}, {"kind": "F1", "variant": "odd"}, {"rate": 1}, {"kind": "F1", "x": 1}]
)
def test_a_wrong_fault_rule_is_refused_with_its_reason(rule: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="faults: "):
        rule_from(rule)


def test_the_catalogue_leaves_out_only_the_faults_of_delta_and_of_data() -> None:
    assert set(VARIANTS) == {f"F{n}" for n in range(1, 22)} - {"F10", "F15", "F20"}


# --- throttling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "expected"), [("decimal", "0.700"), ("integer", "1"), ("always_1", "1"), ("missing", None)]
)
def test_F1_mailbox_throttled(graph: Graph, mailbox: str, variant: str, expected: str | None) -> None:
    strike(graph, "F1", variant, count=1, seconds=0.7)
    answer = graph.get(f"users/{mailbox}/messages")
    assert (answer.status_code, code(answer)) == (429, "ApplicationThrottled")
    assert answer.headers.get("retry-after") == expected


def test_F1_mailbox_throttled_until_a_date(graph: Graph, mailbox: str) -> None:
    strike(graph, "F1", "date", count=1, seconds=3)
    answer = graph.get(f"users/{mailbox}/messages")
    wait = (parsedate_to_datetime(answer.headers["retry-after"]) - datetime.now(UTC)).total_seconds()
    assert 1 < wait <= 3


def test_F1_a_client_that_comes_too_soon_is_seen(graph: Graph, mailbox: str) -> None:
    graph.control("clock", {"advance": 10})  # whatever earlier tests were told has run out
    early = graph.control("limiter")["mailboxes"].get(mailbox, {"early": 0})["early"]
    strike(graph, "F1", "decimal", count=1, seconds=0.5)
    graph.get(f"users/{mailbox}/messages")
    graph.get(f"users/{mailbox}/messages")
    assert graph.control("limiter")["mailboxes"][mailbox]["early"] == early + 1
    graph.control("clock", {"advance": 1})
    graph.get(f"users/{mailbox}/messages")
    assert graph.control("limiter")["mailboxes"][mailbox]["early"] == early + 1


def test_F2_directory_throttled(graph: Graph, mailbox: str) -> None:
    strike(graph, "F2", "decimal", count=1, seconds=0.01)
    answer = graph.get("users")
    assert (answer.status_code, code(answer)) == (429, "TooManyRequests")
    assert answer.json()["error"]["innerError"]["code"] == "429"
    assert graph.get(f"users/{mailbox}/messages").status_code == 200


# --- the service ----------------------------------------------------------------------------------------------------


def test_F3_unavailable(graph: Graph, mailbox: str) -> None:
    for variant in ("json", "empty", "retry_after"):
        strike(graph, "F3", variant, count=1, seconds=0.01)
        answer = graph.get(f"users/{mailbox}/messages")
        assert answer.status_code == 503
        assert (answer.content == b"") == (variant == "empty")
        assert ("retry-after" in answer.headers) == (variant == "retry_after")
        graph.control("faults/clear", {})


def test_F4_server_errors(graph: Graph, mailbox: str) -> None:
    for variant in ("500", "502", "504"):
        strike(graph, "F4", variant, count=1)
        answer = graph.get(f"users/{mailbox}/messages")
        assert answer.status_code == int(variant)
        graph.control("faults/clear", {})
        if variant == "502":
            assert answer.headers["content-type"] == "text/html"
        elif variant == "500":
            assert code(answer) == "ErrorInternalServerTransientError"


@pytest.mark.parametrize("variant", ["reset_before_headers", "reset_after_headers", "short_body", "chunked_cut"])
def test_F5_broken_connections(graph: Graph, mailbox: str, variant: str) -> None:
    strike(graph, "F5", variant, count=1)
    with pytest.raises(httpx.TransportError):
        graph.get(f"users/{mailbox}/messages")
    assert graph.get(f"users/{mailbox}/messages").status_code == 200


def test_F5_json_cut_inside_whole_gzip(graph: Graph, mailbox: str) -> None:
    strike(graph, "F5", "json_cut", count=1)
    answer = graph.get(f"users/{mailbox}/messages", LIST)
    assert answer.status_code == 200
    assert answer.text.startswith("{")
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_F5_gzip_stream_cut(graph: Graph, mailbox: str) -> None:
    strike(graph, "F5", "gzip_cut", count=1)
    answer = graph.get(f"users/{mailbox}/messages", LIST)
    # httpx gives out what could be unpacked without a word: only the JSON tells.
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_F6_slow_body(graph: Graph, mailbox: str) -> None:
    strike(graph, "F6", count=1, bytes_per_second=20)
    url = f"{graph.address.base_url}/users/{mailbox}/messages"
    started = time.monotonic()
    with graph.http.stream("GET", url, headers={"Authorization": f"Bearer {graph.token}"}) as answer:
        received = next(answer.iter_raw(5))
    assert len(received) == 5
    assert time.monotonic() - started > 0.1


def test_F7_a_good_status_with_nothing_good_inside(graph: Graph, mailbox: str) -> None:
    strike(graph, "F7", "error_object", count=1)
    answer = graph.get(f"users/{mailbox}/messages")
    assert (answer.status_code, set(answer.json())) == (200, {"error"})
    strike(graph, "F7", "empty_value", count=1)
    page = graph.get(f"users/{mailbox}/messages", LIST).json()
    assert page["value"] == []
    assert "@odata.nextLink" not in page


# --- paging ---------------------------------------------------------------------------------------------------------


def test_F8_links_that_repeat_lead_back_or_are_missing(graph: Graph, mailbox: str) -> None:
    first = graph.get(f"users/{mailbox}/messages", LIST).json()
    strike(graph, "F8", "repeat", count=1)
    again = graph.get(first["@odata.nextLink"]).json()
    assert again["@odata.nextLink"] == first["@odata.nextLink"]
    graph.control("faults/clear", {})
    strike(graph, "F8", "previous", count=1)
    back = graph.get(graph.get(first["@odata.nextLink"]).json()["@odata.nextLink"]).json()
    assert back["value"][0]["id"] == first["value"][0]["id"]
    graph.control("faults/clear", {})
    strike(graph, "F8", "missing", count=1)
    assert "@odata.nextLink" not in graph.get(f"users/{mailbox}/messages", LIST).json()


def test_F9_rows_come_twice_or_on_the_next_page_but_none_is_lost(graph: Graph, mailbox: str) -> None:
    clean = [row["id"] for row in graph.walk(f"users/{mailbox}/messages", LIST)]
    strike(graph, "F9", "duplicate", rate=0.5, rows=3)
    doubled = [row["id"] for row in graph.walk(f"users/{mailbox}/messages", LIST)]
    assert len(doubled) > len(clean)
    assert set(doubled) == set(clean)
    graph.control("faults/clear", {})
    strike(graph, "F9", "moved", rate=0.5)
    assert [row["id"] for row in graph.walk(f"users/{mailbox}/messages", LIST)] == clean


def test_F16_a_page_with_the_corrupt_item_fails_until_it_stands_alone(graph: Graph, mailbox: str) -> None:
    rows = graph.walk(f"users/{mailbox}/messages", LIST, prefer='IdType="ImmutableId"')
    strike(graph, "F16", mailbox=mailbox, row=5)
    answer = graph.get(f"users/{mailbox}/messages", LIST)
    assert (answer.status_code, code(answer)) == (500, "ErrorCorruptData")
    assert len(graph.get(f"users/{mailbox}/messages", {**LIST, "$top": "5"}).json()["value"]) == 5
    assert graph.get(f"users/{mailbox}/messages", {**LIST, "$top": "1", "$skip": "5"}).status_code == 500
    assert graph.get(f"users/{mailbox}/messages", {**LIST, "$top": "10", "$skip": "6"}).status_code == 200
    truth = graph.control("truth?month=2025-02")["messages"]
    unreadable = rows[5]["id"]
    assert [c["expected"] for m in truth for c in m["copies"] if c["id"] == unreadable] == [False]
    assert graph.server.service is not None
    graph.server.service.outlook.corrupt.clear()


# --- tokens and grants ----------------------------------------------------------------------------------------------


def test_F11_401_on_a_good_token_once_and_for_minutes_on_one_mailbox(graph: Graph, mailbox: str) -> None:
    strike(graph, "F11", "once", count=1)
    assert code(graph.get(f"users/{mailbox}/messages")) == "InvalidAuthenticationToken"
    assert graph.get(f"users/{mailbox}/messages").status_code == 200
    graph.control("faults/clear", {})
    strike(graph, "F11", "minutes", mailbox=mailbox, seconds=180)
    assert [graph.get(f"users/{mailbox}/messages").status_code for _ in range(3)] == [401] * 3
    assert graph.get("users").status_code == 200
    graph.control("clock", {"advance": 181})
    assert graph.get(f"users/{mailbox}/messages").status_code == 200


def test_F12_a_token_expires_in_the_middle_of_a_chain(graph: Graph, mailbox: str) -> None:
    link = graph.get(f"users/{mailbox}/messages", LIST).json()["@odata.nextLink"]
    strike(graph, "F12", count=1)
    assert graph.get(link).status_code == 401
    assert graph.get(link).status_code == 401
    graph.log_in()
    assert graph.get(link).status_code == 200


@pytest.mark.parametrize(
    ("variant", "number"), [("app_disabled", 7000112), ("app_deleted", 7000229), ("secret_expired", 7000222)]
)
def test_F13_the_app_is_changed_while_it_reads(own_graph: Graph, variant: str, number: int) -> None:
    strike(own_graph, "F13", variant, count=1)
    assert own_graph.get("users").status_code == 200
    assert own_graph.token_answer().json()["error_codes"] == [number]


def test_F13_roles_are_revoked_while_it_reads(own_graph: Graph) -> None:
    mailbox = own_graph.server.service.tenant.people.users[0].oid  # type: ignore[union-attr]
    strike(own_graph, "F13", "role", count=1, role="Mail.ReadBasic.All")
    assert own_graph.get(f"users/{mailbox}/messages").status_code == 200
    own_graph.log_in()
    assert own_graph.get(f"users/{mailbox}/messages").status_code == 403
    assert own_graph.get("users").status_code == 200
    strike(own_graph, "F13", "all_roles", count=1)
    own_graph.get("users")
    own_graph.log_in()
    assert own_graph.get("users").status_code == 403


# --- mailboxes and groups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "status", "expected"),
    [
        ("not_enabled", 404, "MailboxNotEnabledForRESTAPI"),
        ("invalid_user", 404, "ErrorInvalidUser"),
        ("resource_not_found", 404, "ResourceNotFound"),
        ("access_denied", 403, "ErrorAccessDenied"),
    ],
)
def test_F14_mailboxes_that_do_not_answer(graph: Graph, mailbox: str, variant: str, status: int, expected: str) -> None:
    strike(graph, "F14", variant, mailbox=mailbox)
    answer = graph.get(f"users/{mailbox}/messages")
    assert (answer.status_code, code(answer)) == (status, expected)


def test_F14_a_spurious_404_has_no_body_and_passes(graph: Graph, mailbox: str) -> None:
    strike(graph, "F14", "empty", count=1)
    answer = graph.get(f"users/{mailbox}/messages")
    assert (answer.status_code, answer.content) == (404, b"")
    assert graph.get(f"users/{mailbox}/messages").status_code == 200


def test_F14_a_mailbox_turns_404_in_mid_walk_and_stays_so(graph: Graph, mailbox: str) -> None:
    link = graph.get(f"users/{mailbox}/messages", LIST).json()["@odata.nextLink"]
    strike(graph, "F14", "not_enabled", mailbox=mailbox, count=1, sticky=True)
    assert [graph.get(link).status_code for _ in range(3)] == [404] * 3


def test_F14_mailbox_info_stale_strikes_only_those_who_ask_by_name(graph: Graph, mailbox: str) -> None:
    assert graph.server.service is not None
    person = graph.server.service.tenant.people.by_key[mailbox]
    graph.control("mailboxes", {"user": mailbox, "state": "info_stale"})
    answer = graph.get(f"users/{person.upn}/messages")
    assert (answer.status_code, code(answer)) == (503, "MailboxInfoStale")
    assert graph.get(f"users/{mailbox}/messages").status_code == 200
    graph.control("mailboxes", {"user": mailbox, "state": None})
    assert graph.get(f"users/{person.upn}/messages").status_code == 200


def test_F17_too_many_at_once_look_like_access_denied() -> None:
    with SimulatorServer(scenario(users=2, faults=({"kind": "F17"},)), process=False) as server:
        graph, service = Graph(server), server.service
        assert service is not None
        mailbox = service.tenant.people.users[0].oid
        lane = service.limiter.lane(graph.address.client_id, mailbox)
        lane.in_flight = 4
        answer = graph.get(f"users/{mailbox}/messages")
        assert (answer.status_code, code(answer)) == (403, "ErrorAccessDenied")
        lane.in_flight = 0
        assert graph.get(f"users/{mailbox}/messages").status_code == 200
        graph.close()


def test_F18_groups_that_cannot_be_read(graph: Graph) -> None:
    assert graph.server.service is not None
    group = graph.server.service.tenant.people.opt_out_group
    path = f"groups/{group}/transitiveMembers"
    strike(graph, "F18", "not_found", group=group, count=1)
    assert code(graph.get(path)) == "Request_ResourceNotFound"
    strike(graph, "F18", "forbidden", group=group, count=1)
    assert code(graph.get(path)) == "Authorization_RequestDenied"
    strike(graph, "F18", "null_members", group=group, count=1)
    rows = graph.get(path, {"$select": "id,mail,displayName"}).json()["value"]
    assert rows
    assert all(row["id"] and row["@odata.type"] and row["mail"] is None for row in rows)


def test_F18_memberships_change_nested_and_by_a_rule_that_lags(own_graph: Graph) -> None:
    people = own_graph.server.service.tenant.people  # type: ignore[union-attr]
    user = people.users[3].oid

    def members(group: str) -> set[str]:
        return {row["id"] for row in own_graph.walk(f"groups/{group}/transitiveMembers", {"$select": "id"})}

    nested = next(iter(people.groups[people.opt_out_group].groups))
    assert user not in members(people.opt_out_group)
    own_graph.control("groups/members", {"group": nested, "user": user})
    assert user in members(people.opt_out_group)
    own_graph.control("groups/members", {"group": nested, "user": user, "in": False})
    assert user not in members(people.opt_out_group)
    dynamic = people.dynamic_opt_out_group
    own_graph.control("groups/members", {"group": dynamic, "user": user, "after": 3600})
    assert user not in members(dynamic)
    own_graph.control("clock", {"advance": 3601})
    own_graph.log_in()
    assert user in members(dynamic)
    assert len(own_graph.control("changes")) == 3
    own_graph.control("groups/delete", {"group": people.opt_out_group})
    assert own_graph.get(f"groups/{people.opt_out_group}/transitiveMembers").status_code == 404


def test_F19_the_servers_clock_runs_ahead(graph: Graph) -> None:
    strike(graph, "F19", seconds=420)
    ahead = parsedate_to_datetime(graph.get("users").headers["date"]) - datetime.now(UTC)
    assert 415 < ahead.total_seconds() < 421


def test_F19_senders_clocks_stray_by_centuries_and_days() -> None:
    strange = Realism(bad_clocks=0.2)
    with SimulatorServer(scenario(users=3, realism=strange), process=False) as server:
        graph = Graph(server)
        mailbox = server.service.tenant.people.users[0].oid  # type: ignore[union-attr]
        rows = graph.walk(f"users/{mailbox}/messages", {"$top": "500", "$select": "sentDateTime,receivedDateTime"})
        years = {row["sentDateTime"][:4] for row in rows}
        assert {"1601", "1980"} <= years
        assert any(row["sentDateTime"][:10] > row["receivedDateTime"][:10] for row in rows)
        graph.close()


def test_F20_very_long_lists_of_recipients() -> None:
    huge = Realism(huge_recipients=(500, 2000, 10_000))
    with SimulatorServer(Scenario(seed=1, users=4, months=("2025-01",), messages_per_month=50, realism=huge),
                         process=False) as server:  # fmt: skip
        graph = Graph(server)
        mailbox = server.service.tenant.people.users[0].oid  # type: ignore[union-attr]
        rows = graph.walk(f"users/{mailbox}/messages", {"$top": "500", "$select": "toRecipients"})
        assert {500, 2000, 10_000} <= {len(row["toRecipients"]) for row in rows}
        graph.close()


def test_F21_the_token_endpoint_is_busy_or_down(graph: Graph) -> None:
    strike(graph, "F21", "throttled", count=1, seconds=2)
    busy = graph.token_answer()
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
    strike(graph, "F21", "server_error", count=1, endpoint="token")
    down = graph.token_answer()
    assert down.status_code == 503
    for answer, number in ((busy, 90055), (down, 90033)):
        body = answer.json()
        assert (body["error"], body["error_codes"]) == ("temporarily_unavailable", [number]), (
            "Entra's form, not Graph's"
        )
        assert body["error_description"].startswith(f"AADSTS{number}: ") and body["trace_id"] and body["correlation_id"]
    assert graph.token_answer().status_code == 200
    strike(graph, "F21", "discovery_down", endpoint="discovery")
    document = f"{graph.address.authority}/v2.0/.well-known/openid-configuration"
    assert graph.http.get(document).status_code == 503
    graph.control("faults/clear", {})
    assert graph.http.get(document).json()["token_endpoint"].startswith("https://127.0.0.1:")


# --- all at once ----------------------------------------------------------------------------------------------------


def test_a_patient_client_gets_everything_through_all_faults_at_once() -> None:
    """F1, F3-F5, F7-F9, F11 and F12 together, at a rate; nothing that was there is missing in the end."""
    kinds = [("F1", "always_1"), ("F3", "empty"), ("F4", "502"), ("F5", "short_body"), ("F5", "json_cut"),
             ("F9", "duplicate"), ("F9", "moved"), ("F11", "once"), ("F12", "expired")]  # fmt: skip
    rules = tuple({"kind": kind, "variant": variant, "rate": 0.04} for kind, variant in kinds)
    with SimulatorServer(scenario(users=4, messages_per_month=400, faults=rules), process=False) as server:
        graph = Graph(server)
        found = set()
        for user in server.service.tenant.people.users[:4]:  # type: ignore[union-attr]
            url: str | None = f"users/{user.oid}/messages"
            params: dict[str, str] | None = LIST
            while url:
                try:
                    answer = graph.get(url, params, prefer='IdType="ImmutableId"')
                    page = answer.json() if answer.status_code == 200 else {}
                except (httpx.TransportError, ValueError):
                    continue
                if answer.status_code == 401:
                    graph.log_in()
                if "value" in page:
                    found |= {row["id"] for row in page["value"]}
                    url, params = page.get("@odata.nextLink"), None
        struck = graph.control("faults")["struck"]
        truth = graph.control("truth?month=2025-02")["messages"]
        users = {user.oid for user in server.service.tenant.people.users[:4]}  # type: ignore[union-attr]
        expected = {c["id"] for m in truth for c in m["copies"] if c["mailbox"] in users}
        assert len(struck) >= 5
        assert found == expected
        graph.close()
