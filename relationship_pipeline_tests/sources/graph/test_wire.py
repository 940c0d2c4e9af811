"""Graph's JSON as rows: real samples, odd values, and what each failure means."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.errors import BadInput, Refused
from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.graph import auth, wire
from relationship_pipeline.sources.graph.client import GraphClient, claims_of
from relationship_pipeline.sources.graph.faults import LONGEST_RETRY_AFTER, Kind, classify, retry_after
from relationship_pipeline.sources.graph.throttle import Throttle
from relationship_pipeline_tests.conftest import SHARED_DATA

SAMPLES = SHARED_DATA / "graph_samples"
DOCS = "graph_docs_v1_mocks_mail_people.json"


def sampled(name: str) -> list[dict[str, Any]]:
    path = SAMPLES / name
    if not path.is_file():
        pytest.skip("real samples are not beside this checkout")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return json.loads(path.read_text(encoding="utf-8"))["mocks"]


def test_every_documented_answer_with_messages_events_or_people_parses() -> None:
    rows = 0
    decoders = [wire.page_decoder(kind) for kind in (wire.Message, wire.Event, wire.DirectoryObject)]
    for mock in sampled(DOCS):
        body = mock["response"].get("body")
        if not isinstance(body, dict) or not isinstance(body.get("value"), list):
            continue
        if not all(isinstance(row, dict) for row in body["value"]):
            continue
        url = mock["request"]["url"]
        decode = decoders[0 if "/messages" in url else 1 if "/events" in url or "calendarView" in url else 2]
        page = decode(json.dumps(body).encode())
        assert page.rejected == 0 and len(page.rows) == len(body["value"]), url
        assert page.next_link == body.get("@odata.nextLink"), url
        rows += len(page.rows)
    assert rows > 50


def test_documented_error_answers_have_their_code() -> None:
    for mock in sampled(DOCS):
        body = mock["response"].get("body")
        if isinstance(body, dict) and "error" in body:
            assert wire.error_code(json.dumps(body).encode()) == body["error"]["code"]


def test_real_messages_and_meetings_become_rows() -> None:
    messages = sampled("mgdc_Message_v1.jsonl")
    page = wire.page_decoder(wire.Message)(json.dumps({"value": messages}).encode())
    batch = wire.message_batch("mailbox", page.rows, {messages[0]["parentFolderId"]: "junk"})
    rows = batch.to_pylist()
    assert [row["item_id"] for row in rows] == [message["id"] for message in messages]
    assert rows[0]["folder_class"] == "junk" and rows[0]["received_at"] is not None
    for row, message in zip(rows, messages, strict=True):
        assert row["from_address"] == ((message["from"] or {}).get("emailAddress") or {}).get("address")
        assert row["to_addresses"] == [person["emailAddress"]["address"] for person in message["toRecipients"]]
    events = sampled("mgdc_CalendarView_v0.jsonl")
    meetings = wire.meeting_batch("mailbox", wire.page_decoder(wire.Event)(json.dumps({"value": events}).encode()).rows)
    for row, event in zip(meetings.to_pylist(), events, strict=True):
        assert row["start_at"].strftime("%Y-%m-%dT%H:%M:%S") == event["start"]["dateTime"][:19]
        assert len(row["attendees"]) == len(event["attendees"]) and row["ical_uid"] == event["iCalUId"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-03-04T09:11:06Z", datetime(2025, 3, 4, 9, 11, 6, tzinfo=UTC)),
        ("2025-03-04T09:11:06.123Z", datetime(2025, 3, 4, 9, 11, 6, 123000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("1601-01-01T00:00:00Z", datetime(1601, 1, 1, tzinfo=UTC)),
        ("2025-03-04T10:11:06+01:00", datetime(2025, 3, 4, 9, 11, 6, tzinfo=UTC)),
        ("2025-02-30T09:11:06Z", None),
        ("99999-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_or_unknown(text: str | None, expected: datetime | None) -> None:
    assert wire.instants([text, "2025-03-04T09:11:06Z"]).to_pylist()[0] == expected


@given(st.text(max_size=60))
def test_no_text_for_a_time_raises(text: str) -> None:
    assert len(wire.instants([text])) == 1


BODIES = (
    b'{"value":[{"id":"%s"}]}',
    b'{"error":{"code":"%s"}}',
    b'{"id":"%s"}',
    b'{"responses":[{"id":"%s","status":200}]}',
)


@given(st.sampled_from((b"%s", *BODIES)), st.binary(max_size=200))
def test_no_body_raises_anything_but_bad_page(shape: bytes, content: bytes) -> None:
    body = shape % content
    decoders = (wire.page_decoder(wire.Message), wire.object_decoder(wire.Folder), wire.decode_batch, wire.decode_count)
    for decode in decoders:
        with suppress(wire.BadPage):
            decode(body)
    assert isinstance(wire.error_code(body), str)


@pytest.mark.parametrize(
    "link", ["https://graph.microsoft.com:443/v1.0/users", "https://GRAPH.microsoft.com/v1.0/users"]
)
def test_a_link_to_the_same_place_in_another_spelling_is_followed(link: str) -> None:
    settings = GraphSettings(tenant_id="t", client_id="c")
    client = GraphClient(settings, auth.TokenSource(settings), Throttle(1))
    assert client.trusted(link) == link


def test_nothing_of_a_subject_or_body_is_decoded() -> None:
    row = {"id": "1", "receivedDateTime": "2025-03-04T09:11:06Z", "subject": "secret", "bodyPreview": "secret"}
    page = wire.page_decoder(wire.Message)(json.dumps({"value": [row]}).encode())
    assert "secret" not in repr(page)
    assert "subject" not in wire.MESSAGE_FIELDS and "body" not in wire.MESSAGE_FIELDS
    assert "subject" not in wire.EVENT_FIELDS and "location" not in wire.EVENT_FIELDS


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("2.128", 2.128),
        ("Mon, 02 Mar 2026 00:00:07 GMT", 7.0),
        ("Sun, 01 Mar 2026 00:00:00 GMT", None),
        ("1e9", LONGEST_RETRY_AFTER),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_trap_24_retry_after_in_every_form(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, "Mon, 02 Mar 2026 00:00:00 GMT") == seconds


@pytest.mark.parametrize(
    ("status", "code", "empty", "kind"),
    [
        (429, "TooManyRequests", False, Kind.THROTTLED),
        (429, "", True, Kind.THROTTLED),
        (500, "ErrorInternalServerTransientError", False, Kind.TRANSIENT),
        (503, "", True, Kind.HEAVY),
        (503, "ErrorServerBusy", False, Kind.TRANSIENT),
        (504, "", False, Kind.HEAVY),
        (509, "", True, Kind.TRANSIENT),
        (401, "InvalidAuthenticationToken", False, Kind.TOKEN),
        (401, "AuthenticationError", False, Kind.DENIED),
        (403, "ErrorAccessDenied", False, Kind.DENIED),
        (403, "UnknownError", False, Kind.TRANSIENT),
        (404, "", True, Kind.TRANSIENT),
        (404, "SomethingNew", False, Kind.TRANSIENT),
        (404, "ErrorItemNotFound", False, Kind.NOT_FOUND),
        (404, "mailboxnotenabledforrestapi", False, Kind.NO_MAILBOX),
        (410, "", True, Kind.RESET),
        (400, "syncStateNotFound", False, Kind.RESET),
        (400, "InefficientFilter", False, Kind.CALLER),
        (400, "", True, Kind.TRANSIENT),
        (500, "ErrorCorruptData", False, Kind.CORRUPT),
        (418, "", False, Kind.TRANSIENT),
        (302, "", True, Kind.TRANSIENT),
    ],
)
def test_each_failure_has_one_class_and_the_unknown_is_transient(
    status: int, code: str, empty: bool, kind: Kind
) -> None:
    assert classify(status, code, empty=empty) is kind
    assert classify(status, code.upper(), empty=empty) is kind


def test_a_claims_challenge_is_decoded() -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
    import base64

    encoded = base64.b64encode(claims.encode()).decode()
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'
    assert classify(401, "InvalidAuthenticationToken", empty=False, challenge=challenge) is Kind.CLAIMS
    assert claims_of(challenge) == claims
    assert claims_of("Bearer") is None


@pytest.mark.parametrize(
    ("codes", "trouble"),
    [
        ([7000112], auth.Trouble.WITHDRAWN),
        ([7000229], auth.Trouble.WITHDRAWN),
        ([65001], auth.Trouble.WITHDRAWN),
        ([7000215], auth.Trouble.OPERATIONS),
        ([7000222], auth.Trouble.OPERATIONS),
        ([700027], auth.Trouble.OPERATIONS),
        ([53003], auth.Trouble.OPERATIONS),
        ([90002], auth.Trouble.OPERATIONS),
        ([123456], auth.Trouble.UNKNOWN),
        ([], auth.Trouble.UNKNOWN),
    ],
)
def test_c6_a_sign_in_error_is_a_withdrawal_a_fault_or_unknown(codes: list[int], trouble: auth.Trouble) -> None:
    assert auth.explain("unauthorized_client", codes).trouble is trouble


def test_a_token_that_cannot_be_read_is_no_proof_of_anything() -> None:
    assert auth.roles_of("opaque") is None
    assert auth.roles_of("a.b.c") is None
    with pytest.raises(Refused, match=r"Mail\.Read, Sites\.ReadWrite\.All"):
        auth.refuse_excess({"Mail.Read", "Sites.ReadWrite.All", "User.Read.All"})


@pytest.mark.parametrize("cloud", auth.CLOUDS)
def test_national_clouds_have_their_hosts(cloud: str) -> None:
    where = auth.endpoints(GraphSettings(tenant_id="t", client_id="c", cloud=cloud))
    assert where.base == f"{auth.CLOUDS[cloud].graph}/v1.0" and where.authority.endswith("/t")
    assert where.scope == f"{auth.CLOUDS[cloud].graph}/.default"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cloud": "moon"}, "cloud"),
        ({"tenant_id": None}, "tenant_id"),
        ({"base_url": "http://graph.microsoft.com"}, "https"),
        ({"authority": "http://login"}, "https"),
    ],
)
def test_settings_that_cannot_work_are_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        auth.endpoints(GraphSettings(**{"tenant_id": "t", "client_id": "c", **changes}))


def test_a_certificate_signs_in_as_pem_and_pfx_and_a_bad_one_is_one_line(tmp_path: Path) -> None:
    import trustme
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    issued = trustme.CA().issue_cert("app.example")
    pem = tmp_path / "app.pem"
    pem.write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    certificate = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    pfx = tmp_path / "app.pfx"
    encryption = serialization.BestAvailableEncryption(b"open")
    pfx.write_bytes(pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, encryption))
    for path, password in ((pem, None), (pfx, "open")):
        settings = GraphSettings(certificate_path=path, certificate_password=password)
        credential = auth.client_credential(settings)
        assert isinstance(credential, dict) and "PRIVATE KEY" in credential["private_key"]
    for path, password in ((pfx, "wrong"), (tmp_path / "none.pem", None)):
        with pytest.raises(BadInput, match="certificate_path"):
            auth.client_credential(GraphSettings(certificate_path=path, certificate_password=password))
    with pytest.raises(BadInput, match="CLIENT_SECRET"):
        auth.client_credential(GraphSettings())
