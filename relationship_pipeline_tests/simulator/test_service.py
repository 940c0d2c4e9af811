"""Faithful behaviours of the simulated Graph service (graph.md 8.3), each by what a client sees."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest

from relationship_pipeline.simulator.scenario import Latency, Limits
from relationship_pipeline.simulator.server import SimulatorError, SimulatorServer
from relationship_pipeline_tests.simulator.conftest import FEBRUARY, MONTHS, Graph, scenario

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "graph_samples"
IMMUTABLE = 'IdType="ImmutableId"'
SELECT = (
    "id,internetMessageId,conversationId,conversationIndex,createdDateTime,lastModifiedDateTime,sentDateTime,"
    "receivedDateTime,from,sender,toRecipients,ccRecipients,bccRecipients,isDraft,parentFolderId,hasAttachments,"
    "inferenceClassification"
)


def month_of(mailbox: str, graph: Graph, size: int = 500) -> list[dict]:
    params = {"$filter": FEBRUARY, "$orderby": "receivedDateTime asc", "$select": SELECT, "$top": str(size)}
    return graph.walk(f"users/{mailbox}/messages", params, prefer=IMMUTABLE)


# --- paging ---------------------------------------------------------------------------------------------------------


def test_pages_hold_ten_messages_unless_asked_and_at_most_a_thousand(graph: Graph, mailbox: str) -> None:
    assert len(graph.get(f"users/{mailbox}/messages").json()["value"]) == 10
    assert len(graph.get(f"users/{mailbox}/messages", {"$top": "25"}).json()["value"]) == 25
    assert len(graph.get(f"users/{mailbox}/messages", prefer="odata.maxpagesize=30").json()["value"]) == 30
    assert graph.get(f"users/{mailbox}/messages", {"$top": "1001"}).status_code == 400
    assert graph.get(f"users/{mailbox}/messages", {"$top": "0"}).status_code == 400


def test_directory_pages_are_capped_at_999(graph: Graph) -> None:
    assert graph.get("users", {"$top": "1000"}).status_code == 400
    users = graph.walk("users", {"$top": "5", "$select": "id"})
    assert len(users) == len({user["id"] for user in users}) == 12 + 6 + 1


def test_every_page_size_gives_the_same_rows_once(graph: Graph, mailbox: str) -> None:
    whole = [row["id"] for row in month_of(mailbox, graph, 1000)]
    for size in (7, 50):
        assert [row["id"] for row in month_of(mailbox, graph, size)] == whole
    assert len(set(whole)) == len(whole) > 100


def test_skip_on_the_wire_counts_hidden_items_too(graph: Graph, mailbox: str) -> None:
    link = graph.get(f"users/{mailbox}/messages", {"$top": "500"}).json().get("@odata.nextLink", "")
    assert not link or parse_qs(urlsplit(link).query)["$skip"] == ["503"]
    link = graph.get(f"users/{mailbox}/messages", {"$top": "200"}).json()["@odata.nextLink"]
    assert parse_qs(urlsplit(link).query)["$skip"] == ["201"]


def test_a_link_that_was_altered_is_refused(graph: Graph, mailbox: str) -> None:
    link = graph.get(f"users/{mailbox}/messages", {"$top": "5"}).json()["@odata.nextLink"]
    assert graph.get(link).status_code == 200
    assert graph.get(link.replace("$skip=5", "$skip=6")).status_code == 400
    assert graph.get(link.replace("$top=5", "$top=900")).status_code == 400


def test_links_lead_to_the_host_that_was_asked(graph: Graph, mailbox: str) -> None:
    answer = graph.get(f"users/{mailbox}/messages", {"$top": "5"}, host="graph.example:8443")
    assert answer.json()["@odata.nextLink"].startswith("https://graph.example:8443/v1.0/users/")


def test_the_count_is_what_a_walk_finds(graph: Graph, mailbox: str) -> None:
    rows = month_of(mailbox, graph)
    counted = graph.get(f"users/{mailbox}/messages/$count", {"$filter": FEBRUARY})
    assert counted.headers["content-type"].startswith("text/plain")
    assert int(counted.text) == len(rows)
    first = graph.get(f"users/{mailbox}/messages", {"$filter": FEBRUARY, "$count": "true", "$top": "3"}).json()
    assert first["@odata.count"] == len(rows)


# --- select, filter, order ------------------------------------------------------------------------------------------


def test_only_selected_properties_come(graph: Graph, mailbox: str) -> None:
    row = graph.get(f"users/{mailbox}/messages", {"$select": "receivedDateTime", "$top": "1"}).json()["value"][0]
    assert set(row) - {"@odata.etag", "@odata.type"} == {"id", "receivedDateTime"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"$select": "id,colour"}, "RequestBroker--ParseUri"),
        ({"$search": "x"}, "RequestBroker--ParseUri"),
        ({"$filter": "isRead eq true"}, "ErrorInvalidUrlQueryFilter"),
        ({"$filter": "receivedDateTime ge 2025-02-31T00:00:00Z"}, "RequestBroker--ParseUri"),
        ({"$filter": "sentDateTime ge 2025-02-01T00:00:00Z", "$orderby": "receivedDateTime"}, "InefficientFilter"),
        ({"$orderby": "subject"}, "RequestBroker--ParseUri"),
        ({"$top": "x"}, "BadRequest"),
    ],
)
def test_what_graph_refuses_is_refused(graph: Graph, mailbox: str, params: dict[str, str], code: str) -> None:
    answer = graph.get(f"users/{mailbox}/messages", params)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


def test_body_fields_are_refused_under_readbasic(graph: Graph, mailbox: str) -> None:
    answer = graph.get(f"users/{mailbox}/messages", {"$select": "id,bodyPreview"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ErrorAccessDenied")


def test_windows_are_half_open_and_ordered(graph: Graph, mailbox: str) -> None:
    rows = month_of(mailbox, graph)
    times = [row["receivedDateTime"] for row in rows]
    assert times == sorted(times)
    middle = times[len(times) // 2]
    low, high = FEBRUARY.split(" and ")

    def ids(text: str) -> set[str]:
        rows = graph.walk(f"users/{mailbox}/messages", {"$filter": text, "$top": "1000"}, prefer=IMMUTABLE)
        return {row["id"] for row in rows}

    early, late = ids(f"{low} and receivedDateTime lt {middle}"), ids(f"receivedDateTime ge {middle} and {high}")
    assert early | late == {row["id"] for row in rows}
    assert not early & late
    newest = graph.get(f"users/{mailbox}/messages", {"$top": "3"}).json()["value"]
    assert newest[0]["receivedDateTime"] >= newest[1]["receivedDateTime"]


def test_what_changed_since_is_found_by_last_modified(graph: Graph, mailbox: str) -> None:
    since = "2025-02-20T00:00:00Z"
    rows = graph.walk(f"users/{mailbox}/messages", {"$filter": f"lastModifiedDateTime ge {since}", "$top": "500",
                                                    "$orderby": "lastModifiedDateTime asc"})  # fmt: skip
    assert rows
    assert all(row["lastModifiedDateTime"] >= since for row in rows)
    assert any(row["receivedDateTime"] < since for row in rows)


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples of real answers are not here")
def test_messages_and_events_have_the_shape_of_real_ones(graph: Graph, mailbox: str) -> None:
    real_message = json.loads((SAMPLES / "mgdc_Message_v1.jsonl").read_text().splitlines()[0])
    real_event = json.loads((SAMPLES / "mgdc_CalendarView_v0.jsonl").read_text().splitlines()[0])
    messages = graph.walk(f"users/{mailbox}/messages", {"$top": "500"})
    view = {"startDateTime": "2025-02-01T00:00:00Z", "endDateTime": "2025-03-01T00:00:00Z", "$top": "200"}
    events = graph.walk(f"users/{mailbox}/calendarView", view)
    for real, rows in ((real_message, messages), (real_event, events)):
        for row in rows:
            for name, value in row.items():
                if name.startswith("@odata") or name in ("meetingMessageType", "isDraft", "hideAttendees"):
                    continue
                assert name in real
                assert value is None or real[name] is None or type(value) is type(real[name]), name
    assert set(messages[0]["toRecipients"][0]["emailAddress"]) == {"name", "address"}
    assert set(events[0]["start"]) == {"dateTime", "timeZone"}
    assert len(events[0]["start"]["dateTime"]) == len(real_event["start"]["dateTime"])
    assert len(events[0]["iCalUId"]) == len(real_event["iCalUId"])
    assert set(events[0]["responseStatus"]) == {"response", "time"}


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples of real answers are not here")
def test_folders_and_users_have_the_properties_of_the_documented_answers(graph: Graph, mailbox: str) -> None:
    mocks = json.loads((SAMPLES / "graph_docs_v1_mocks_mail_people.json").read_text())["mocks"]
    documented = {
        mock["request"]["url"].removeprefix("https://graph.microsoft.com/v1.0"): mock
        for mock in mocks
        if mock["request"].get("method", "GET") == "GET"
    }
    real = documented["/me/mailFolders?includehiddenfolders=*"]["response"]["body"]["value"][0]
    rows = graph.walk(f"users/{mailbox}/mailFolders", {"includeHiddenFolders": "true"})
    assert all(set(real) <= set(row) for row in rows)
    domain = documented["/domains"]["response"]["body"]["value"][0]
    assert set(graph.get("domains").json()["value"][0]) & set(domain) >= {"id", "isDefault", "isInitial"}


def test_meeting_messages_carry_their_type(graph: Graph, mailbox: str) -> None:
    types = {row.get("@odata.type") for row in month_of(mailbox, graph)}
    assert {"#microsoft.graph.eventMessageRequest", "#microsoft.graph.eventMessageResponse", None} <= types
    cast = "microsoft.graph.eventMessage/meetingMessageType"
    rows = graph.walk(f"users/{mailbox}/messages", {"$select": f"id,{cast}", "$filter": FEBRUARY, "$top": "500"})
    assert "meetingRequest" in {row.get("meetingMessageType") for row in rows}


def test_errors_have_graphs_form_and_every_answer_its_headers(graph: Graph, mailbox: str) -> None:
    for path in (f"users/{mailbox}/messages?$top=5000", "groups/nobody", "users?$top=2"):
        answer = graph.get(path, client_request_id="12345")
        for name in ("request-id", "x-ms-ags-diagnostic", "date"):
            assert answer.headers[name]
        assert answer.headers["client-request-id"] == "12345"
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) >= {"code", "message"}
    assert graph.get("users?$top=2").headers["x-ms-resource-unit"] == "1"
    assert graph.get("users").headers["x-ms-resource-unit"] == "2"


def test_answers_are_packed_when_asked(graph: Graph) -> None:
    packed = graph.get("users", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in graph.get("users", accept_encoding="identity").headers


# --- ids ------------------------------------------------------------------------------------------------------------


def test_immutable_ids_last_through_a_move_and_default_ids_do_not(own_graph: Graph) -> None:
    service = own_graph.server.service
    assert service is not None
    mailbox = service.tenant.people.users[0].oid
    path, params = f"users/{mailbox}/messages", {"$top": "1", "$filter": FEBRUARY}
    lasting = own_graph.get(path, params, prefer=IMMUTABLE).json()["value"][0]
    default = own_graph.get(path, params).json()["value"][0]
    assert lasting["id"] != default["id"]
    assert own_graph.get(path, params, prefer=IMMUTABLE).headers["preference-applied"] == IMMUTABLE
    own_graph.control("messages/move", {"user": mailbox, "id": lasting["id"], "folder": "archive"})
    assert own_graph.get(path, params, prefer=IMMUTABLE).json()["value"][0]["id"] == lasting["id"]
    assert own_graph.get(path, params).json()["value"][0]["id"] != default["id"]
    body = {"inputIds": [default["id"]], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}
    answer = own_graph.http.post(
        f"{own_graph.address.base_url}/users/{mailbox}/translateExchangeIds",
        json=body,
        headers={"Authorization": f"Bearer {own_graph.token}"},
    )
    assert answer.json()["value"][0]["targetId"] == lasting["id"]


def test_a_deleted_message_is_gone_and_a_delivered_one_is_there(own_graph: Graph) -> None:
    mailbox = own_graph.server.service.tenant.people.users[0].oid  # type: ignore[union-attr]
    rows = month_of(mailbox, own_graph)
    own_graph.control("messages/delete", {"user": mailbox, "id": rows[0]["id"]})
    ids = own_graph.control("messages/deliver", {"mailboxes": [mailbox], "from": "new@outside.example", "to": ["x@y.z"],
                                                 "received": "2025-02-03T04:05:06Z"})["ids"]  # fmt: skip
    after = [row["id"] for row in month_of(mailbox, own_graph)]
    assert rows[0]["id"] not in after
    assert ids[0] in after
    truth = own_graph.control("truth?month=2025-02")
    assert ids[0] in {copy["id"] for m in truth["messages"] for copy in m["copies"]}


# --- folders and calendars ------------------------------------------------------------------------------------------


def test_folders_are_the_roots_children_ten_a_page_and_well_known_names_work(graph: Graph, mailbox: str) -> None:
    first = graph.get(f"users/{mailbox}/mailFolders").json()
    assert len(first["value"]) == 10
    rows = graph.walk(f"users/{mailbox}/mailFolders", {"$top": "100"})
    hidden = graph.walk(f"users/{mailbox}/mailFolders", {"$top": "100", "includeHiddenFolders": "true"})
    assert len(hidden) == len(rows) + 1
    assert [row for row in rows if row.get("@odata.type") == "#microsoft.graph.mailSearchFolder"]
    parent = next(row for row in rows if row["childFolderCount"] == 2)
    assert len(graph.walk(f"users/{mailbox}/mailFolders/{parent['id']}/childFolders")) == 2
    inbox = graph.get(f"users/{mailbox}/mailFolders/inbox", {"$select": "id"}).json()
    mail = graph.walk(f"users/{mailbox}/mailFolders/inbox/messages", {"$select": "parentFolderId", "$top": "500"})
    assert {row["parentFolderId"] for row in mail} == {inbox["id"]}
    missing = graph.get(f"users/{mailbox}/mailFolders/{parent['id'].swapcase()}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ErrorItemNotFound")


def test_a_calendar_view_needs_its_window_and_unfolds_series(graph: Graph, mailbox: str) -> None:
    assert graph.get(f"users/{mailbox}/calendarView").status_code == 400
    window = {"startDateTime": "2025-02-01T00:00:00Z", "endDateTime": "2025-03-01T00:00:00Z"}
    small = graph.walk(f"users/{mailbox}/calendarView", {**window, "$top": "3"}, prefer=IMMUTABLE)
    large = graph.walk(f"users/{mailbox}/calendarView", {**window, "$top": "500"}, prefer=IMMUTABLE)
    assert [row["id"] for row in small] == [row["id"] for row in large]
    truth = graph.control("meetings?month=2025-02")["meetings"]
    expected = {m["iCalUId"] for m in truth if mailbox in m["mailboxes"]}
    assert expected <= {row["iCalUId"] for row in large}
    assert {"occurrence", "singleInstance"} <= {row["type"] for row in large}


# --- the tenant through the service -----------------------------------------------------------------------------------


def test_a_walk_of_all_mailboxes_is_the_ground_truth(graph: Graph) -> None:
    found = set()
    for user in graph.walk("users", {"$select": "id", "$top": "999"}):
        answer = graph.get(f"users/{user['id']}/messages", {"$top": "1"})
        if answer.status_code == 404:
            assert answer.json()["error"]["code"] == "MailboxNotEnabledForRESTAPI"
            continue
        found |= {(user["id"], row["id"]) for row in month_of(user["id"], graph)}
    truth = graph.control("truth?month=2025-02")["messages"]
    assert found == {(copy["mailbox"], copy["id"]) for message in truth for copy in message["copies"]}


def test_the_same_scenario_answers_the_same_bytes(graph: Graph, mailbox: str) -> None:
    with SimulatorServer(scenario(), process=False) as other:
        twin = Graph(other)
        for path in (f"users/{mailbox}/messages?$top=200", "users?$top=50", f"users/{mailbox}/mailFolders"):
            one, two = graph.get(path).text, twin.get(path).text
            assert one.split("@odata.nextLink")[0].replace(graph.address.base_url, "") == two.split("@odata.nextLink")[
                0
            ].replace(twin.address.base_url, "")
        twin.close()


def test_an_unknown_mailbox_is_an_invalid_user(graph: Graph) -> None:
    answer = graph.get("users/00000000-0000-0000-0000-000000000000/messages")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ErrorInvalidUser")


# --- directory ------------------------------------------------------------------------------------------------------


def test_users_show_addresses_and_kinds(graph: Graph) -> None:
    fields = "id,userPrincipalName,mail,proxyAddresses,displayName,accountEnabled,userType,assignedPlans"
    users = graph.walk("users", {"$select": fields, "$top": "999"})
    assert any(p.startswith("X500:/o=ExchangeLabs") for user in users for p in user["proxyAddresses"])
    assert any(user["userType"] == "Guest" for user in users)
    assert any(not user["accountEnabled"] for user in users)
    refused = graph.get("users", {"$filter": "userType ne 'Guest'"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")
    rows = graph.walk("users", {"$filter": "userType ne 'Guest'", "$count": "true", "$select": "id,userType"},
                      consistencylevel="eventual")  # fmt: skip
    assert len(rows) == len(users) - 1


def test_nested_members_come_transitively_and_the_cast_needs_its_header(graph: Graph) -> None:
    service = graph.server.service
    assert service is not None
    group = service.tenant.people.opt_out_group
    direct = graph.walk(f"groups/{group}/members")
    everyone = graph.walk(f"groups/{group}/transitiveMembers", {"$select": "id"})
    kinds = {row["@odata.type"] for row in direct}
    assert kinds == {"#microsoft.graph.user", "#microsoft.graph.group"}
    users = {row["id"] for row in everyone if row["@odata.type"] == "#microsoft.graph.user"}
    assert users == {service.tenant.people.users[i].oid for i in service.tenant.people.transitive_users(group)}
    path = f"groups/{group}/transitiveMembers/microsoft.graph.user"
    assert graph.get(path).status_code == 400
    cast = graph.walk(path, {"$count": "true", "$select": "id"}, consistencylevel="eventual")
    assert {row["id"] for row in cast} == users


def test_a_group_that_is_not_there_is_not_found(graph: Graph) -> None:
    answer = graph.get("groups/00000000-0000-0000-0000-000000000000/transitiveMembers")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "Request_ResourceNotFound")


def test_the_app_can_read_its_own_grants_roles_licences_and_domains(graph: Graph) -> None:
    path = f"servicePrincipals(appId='{graph.address.client_id}')"
    principal = graph.get(path, {"$select": "id,accountEnabled"}).json()
    grants = graph.walk(f"servicePrincipals/{principal['id']}/appRoleAssignments")
    assert "693c5e45-0940-467d-9b8a-1022fb9d42ef" in {row["appRoleId"] for row in grants}
    admins = graph.walk("directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members")
    assert [row["userPrincipalName"] for row in admins] == [graph.address.administrator]
    assert {"DYN365_SALES_PREMIUM"} <= {row["skuPartNumber"] for row in graph.walk("subscribedSkus")}
    assert {"contoso.com"} <= {row["id"] for row in graph.walk("domains")}


# --- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_id": "nobody"}, 400, 700016),
        ({"grant_type": "password"}, 400, 70003),
        ({"scope": "User.Read"}, 400, 1002012),
    ],
)
def test_token_errors_are_those_of_entra(graph: Graph, changes: dict[str, str], status: int, number: int) -> None:
    answer = graph.token_answer(**changes)
    assert (answer.status_code, answer.json()["error_codes"]) == (status, [number])
    assert answer.json()["error_description"].startswith(f"AADSTS{number}: ")


def test_msal_logs_in_with_a_secret(graph: Graph) -> None:
    import msal
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(graph.address.ca_path)
        app = msal.ConfidentialClientApplication(
            graph.address.client_id, client_credential=graph.address.client_secret,
            authority=graph.address.authority, instance_discovery=False, http_client=session,
        )  # fmt: skip
        answer = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    claims = json.loads(base64.urlsafe_b64decode(answer["access_token"].split(".")[1] + "=="))
    assert "Mail.ReadBasic.All" in claims["roles"]
    assert answer["expires_in"] == 3599


def test_msal_logs_in_with_a_certificate(tmp_path: Path) -> None:
    import datetime

    import msal
    import requests
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pipeline")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2090, 1, 1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with (
        SimulatorServer(scenario(users=2, client_certificate=pem), process=False) as server,
        requests.Session() as session,
    ):
        session.trust_env = False
        session.verify = str(server.address.ca_path)
        credential = {"private_key": private.decode(), "public_certificate": pem,
                      "thumbprint": certificate.fingerprint(hashes.SHA1()).hex()}  # fmt: skip
        app = msal.ConfidentialClientApplication(
            server.address.client_id, client_credential=credential, authority=server.address.authority,
            instance_discovery=False, http_client=session,
        )  # fmt: skip
        assert "access_token" in app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
        app = msal.ConfidentialClientApplication(
            "someone-else", client_credential=credential, authority=server.address.authority,
            instance_discovery=False, http_client=session,
        )  # fmt: skip
        assert app.acquire_token_for_client(["https://graph.microsoft.com/.default"])["error_codes"] == [700016]


def test_a_missing_altered_or_expired_token_is_401(own_graph: Graph) -> None:
    good = own_graph.token
    for token in ("x", "x.y.z", good[:-3] + "abc", good.split(".")[0] + ".e30." + good.split(".")[2]):
        own_graph.token = token
        answer = own_graph.get("users")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    own_graph.token = good
    assert own_graph.get("users").status_code == 200
    own_graph.control("clock", {"advance": 3600})
    assert own_graph.get("users").status_code == 401


def test_roles_are_those_of_the_token_until_it_expires(own_graph: Graph) -> None:
    mailbox = own_graph.server.service.tenant.people.users[0].oid  # type: ignore[union-attr]
    own_graph.control("app", {"grants_lag_seconds": 120})
    own_graph.control("roles/revoke", {"role": "Mail.ReadBasic.All"})
    principal = own_graph.get(f"servicePrincipals(appId='{own_graph.address.client_id}')").json()["id"]
    path = f"servicePrincipals/{principal}/appRoleAssignments"
    mail = "693c5e45-0940-467d-9b8a-1022fb9d42ef"
    assert own_graph.get(f"users/{mailbox}/messages").status_code == 200
    assert mail in {row["appRoleId"] for row in own_graph.walk(path)}, "the list of grants lags behind"
    own_graph.log_in()
    refused = own_graph.get(f"users/{mailbox}/messages")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ErrorAccessDenied")
    own_graph.control("clock", {"advance": 130})
    assert mail not in {row["appRoleId"] for row in own_graph.walk(path)}
    own_graph.control("roles/revoke", {})
    own_graph.log_in()
    claims = json.loads(base64.urlsafe_b64decode(own_graph.token.split(".")[1] + "=="))
    assert "roles" not in claims
    assert own_graph.get("users").json()["error"]["code"] == "Authorization_RequestDenied"
    assert own_graph.get(f"users/{mailbox}/messages").status_code == 403


def test_exchange_rbac_mode_shows_no_mail_role_and_follows_the_assignment() -> None:
    with SimulatorServer(scenario(users=3, grant_mode="exchange_rbac"), process=False) as server:
        graph = Graph(server)
        claims = json.loads(base64.urlsafe_b64decode(graph.token.split(".")[1] + "=="))
        assert not [role for role in claims["roles"] if role.startswith(("Mail.", "Calendars."))]
        users = server.service.tenant.people.users  # type: ignore[union-attr]
        assert graph.get(f"users/{users[0].oid}/messages").status_code == 200
        graph.control("exchange", {"scope": [users[1].oid]})
        assert graph.get(f"users/{users[0].oid}/messages").json()["error"]["code"] == "ErrorAccessDenied"
        assert graph.get(f"users/{users[1].oid}/messages").status_code == 200
        graph.close()


@pytest.mark.parametrize(
    ("change", "status", "number"),
    [
        ({"enabled": False}, 400, 7000112),
        ({"deleted": True}, 401, 7000229),
        ({"secret_valid": False}, 401, 7000222),
        ({"tenant_exists": False}, 400, 90002),
    ],
)
def test_what_an_administrator_does_to_the_app_shows_at_the_token_endpoint(
    own_graph: Graph, change: dict, status: int, number: int
) -> None:
    own_graph.control("app", change)
    answer = own_graph.token_answer()
    assert (answer.status_code, answer.json()["error_codes"]) == (status, [number])
    assert own_graph.get("users").status_code == 200, "the token given before works until it expires"


# --- limits and latency -----------------------------------------------------------------------------------------------


def test_more_than_four_at_once_on_a_mailbox_is_throttled_and_other_mailboxes_are_not() -> None:
    with SimulatorServer(scenario(users=3, latency=Latency(base=0.3)), process=False) as server:
        graph = Graph(server)
        users = server.service.tenant.people.users  # type: ignore[union-attr]

        async def burst() -> list[httpx.Response]:
            context = graph.http._transport._pool._ssl_context  # type: ignore[attr-defined]
            async with httpx.AsyncClient(verify=context, trust_env=False) as http:
                headers = {"Authorization": f"Bearer {graph.token}"}
                urls = [f"{graph.address.base_url}/users/{users[n < 6].oid}/messages" for n in range(8)]
                return await asyncio.gather(*(http.get(url, headers=headers) for url in urls))

        answers = asyncio.run(burst())
        throttled = [answer for answer in answers[:6] if answer.status_code == 429]
        assert len(throttled) == 2
        assert throttled[0].json()["error"]["code"] == "ApplicationThrottled"
        assert throttled[0].headers["retry-after"] == "1.250"
        assert [answer.status_code for answer in answers[6:]] == [200, 200]
        assert graph.control("limiter")["mailboxes"][users[1].oid]["most_in_flight"] == 6
        graph.close()


def test_ten_thousand_requests_in_ten_minutes_are_the_limit_and_throttled_ones_count() -> None:
    with SimulatorServer(scenario(users=2, limits=Limits(requests=5)), process=False) as server:
        graph = Graph(server)
        path = f"users/{server.service.tenant.people.users[0].oid}/messages/$count"  # type: ignore[union-attr]
        assert [graph.get(path).status_code for _ in range(6)] == [200] * 5 + [429]
        answer = graph.get(path)
        assert "RequestRate" in answer.json()["error"]["message"]
        assert 500 < float(answer.headers["retry-after"]) < 611
        graph.control("clock", {"advance": 620})
        assert graph.get(path).status_code == 200
        graph.close()


def test_directory_requests_cost_resource_units() -> None:
    with SimulatorServer(scenario(users=2, limits=Limits(directory_units=20)), process=False) as server:
        graph = Graph(server)
        answers = [graph.get("users") for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert answers[9].headers["x-ms-throttle-limit-percentage"] == "1.00"
        refused = answers[-1]
        assert refused.json()["error"]["code"] == "TooManyRequests"
        assert "." in refused.headers["retry-after"]
        assert refused.json()["error"]["innerError"]["status"] == "429"
        graph.close()


def test_the_request_log_holds_no_token_and_no_body(graph: Graph, mailbox: str) -> None:
    graph.get(f"users/{mailbox}/messages")
    log = graph.control("requests")
    assert log[-1]["mailbox"] == mailbox
    assert log[-1]["done_at"] >= log[-1]["at"]
    assert graph.token not in json.dumps(log)


# --- running it -----------------------------------------------------------------------------------------------------


def test_a_process_of_its_own_serves_and_ends_with_its_parent() -> None:
    with SimulatorServer(scenario(users=2, messages_per_month=50)) as server:
        graph = Graph(server)
        assert len(graph.walk("users")) == 9
        assert graph.control("scenario")["months"] == list(MONTHS)
        ca_path, runner = server.address.ca_path, server._runner
        graph.close()
    assert not ca_path.exists()
    assert runner is not None
    assert runner.poll() is not None


def test_the_process_ends_at_sigterm_though_its_parent_ignores_it() -> None:
    """As Dagster leaves it in a process that a script put in the background."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with SimulatorServer(scenario(users=2)) as server:
            runner = server._runner
    finally:
        signal.signal(signal.SIGTERM, before)
    assert runner is not None
    assert runner.returncode == -signal.SIGTERM


def test_the_process_ends_and_tidies_up_when_its_parent_is_killed() -> None:
    program = (
        "from relationship_pipeline.simulator.scenario import Scenario\n"
        "from relationship_pipeline.simulator.server import SimulatorServer\n"
        "with SimulatorServer(Scenario(users=2, months=('2025-01',), faults=({'kind': 'F19'},))) as server:\n"
        "    print(server._runner.pid, server.ca_path, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid, ca_path = parent.stdout.readline().decode().split()
        child = psutil.Process(int(pid))
        parent.kill()
    child.wait(20)
    assert not Path(ca_path).parent.exists()


def test_a_port_in_use_is_one_line(running: SimulatorServer) -> None:
    port = urlsplit(running.address.base_url).port
    with pytest.raises(SimulatorError, match="cannot start"), SimulatorServer(scenario(users=2), port=port or 0):
        pass


def test_a_wrong_control_request_says_what_there_is(graph: Graph) -> None:
    for path, document in (("nothing", None), ("truth", None), ("mailboxes", {"user": "x", "state": "odd"})):
        with pytest.raises(SimulatorError):
            graph.control(path, document)
