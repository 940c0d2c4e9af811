"""Every trap of graph.md 7.2 and row of 2.5 and 3.2 that a list crawl can meet, by its number, over real HTTPS."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.errors import ConsentRefused, PipelineError, TryAgain
from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.base import ReadScope, Staged
from relationship_pipeline.sources.graph.faults import UntrustedNextLink
from relationship_pipeline.sources.graph.lanes import Lanes
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import (
    QUICK,
    Reply,
    Request,
    ScriptedGraph,
    graph_error,
    json_reply,
    mailbox_of,
    message,
)

MONTH = "2026-03"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALICE, BOB = "a" * 36, "b" * 36
Crawl = Callable[..., Staged]


@pytest.fixture
def crawl(graph_settings: GraphSettings, stage: Path) -> Crawl:
    def run(*mailboxes: str, **changes: Any) -> Staged:
        settings = graph_settings.model_copy(update=changes)
        source = GraphSource(settings, patience=QUICK, now=lambda: NOW)
        scope = ReadScope(mailboxes or (ALICE,))
        return source.stage_emails(MONTH, scope, stage, lambda: None, lambda line: None)

    return run


def items(staged: Staged) -> list[str]:
    rows = rows_of(staged)
    return sorted(rows.column("item_id").to_pylist())


def rows_of(staged: Staged) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in staged.files)


def expected(graph: ScriptedGraph, *mailboxes: str) -> list[str]:
    return sorted(row["id"] for mailbox in mailboxes for row in graph.mailboxes[mailbox])


def test_a_month_is_read_whole_and_proven_by_its_count(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95), BOB: mailbox_of(7)}
    staged = crawl(ALICE, BOB)
    assert items(staged) == expected(graph, ALICE, BOB)
    assert staged.mailboxes["done"] == 2 and staged.partial_reasons == ()
    assert staged.expected_copies == staged.walked_copies == 102
    assert staged.read_mailboxes == {ALICE, BOB}


def test_every_page_asks_for_immutable_ids_with_its_own_request_id(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95)}
    crawl()
    pages = graph.asked("messages")
    assert len(pages) == 5
    assert all('IdType="ImmutableId"' in page.headers["prefer"] for page in pages)
    assert len({page.headers["client-request-id"] for page in graph.requests}) == len(graph.requests)
    assert not any("subject" in page.query["$select"] or "body" in page.query["$select"] for page in pages)


def test_trap_2_a_link_that_is_missing_early_is_found_by_the_count(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95)}
    graph.bend = lambda request, reply: without_link(reply) if at(request, "messages", 2) else None
    staged = crawl()
    assert items(staged) == expected(graph, ALICE)
    assert staged.mailboxes["done"] == 1


@pytest.mark.parametrize("skip", ["20", "0"])
def test_trap_3_a_link_that_repeats_or_goes_back_ends(graph: ScriptedGraph, crawl: Crawl, skip: str) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95)}

    def bend(request: Request, reply: Reply) -> Reply | None:
        if at(request, "messages", 2, 3):
            return with_link(reply, graph.link(request, **{"$skip": skip}))
        return None

    graph.bend = bend
    assert items(crawl()) == expected(graph, ALICE)


def test_trap_3_links_that_always_go_round_park_the_mailbox(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: [message(n, datetime(2026, 3, 2, tzinfo=UTC)) for n in range(95)]}
    graph.bend = lambda request, reply: (
        with_link(reply, graph.link(request, **{"$skip": "0"})) if request.kind == "messages" else None
    )
    staged = crawl()
    assert staged.mailboxes["parked"] == 1 and staged.read_mailboxes == frozenset()
    assert staged.partial_reasons == ("1 mailboxes could not be read whole (paging_loop)",)


def test_trap_4_rows_that_move_between_pages_are_neither_lost_nor_doubled(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95)}

    def bend(request: Request, reply: Reply) -> Reply | None:
        if at(request, "messages", 2):
            return with_link(reply, graph.link(request, **{"$skip": "45"}))
        if at(request, "messages", 4):
            return with_link(reply, graph.link(request, **{"$skip": "60"}))
        return None

    graph.bend = bend
    assert items(crawl()) == expected(graph, ALICE)


def test_trap_5_a_link_is_followed_as_it_stands(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: (
        with_link(reply, graph.link(request, **{"$skip": "20", "opaque": "a%2Fb"}))
        if at(request, "messages", 1)
        else None
    )
    assert items(crawl()) == expected(graph, ALICE)
    assert graph.asked("messages")[1].query["opaque"] == "a/b"


def test_trap_10_a_burst_of_access_denied_is_not_a_refusal(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: graph_error(403, "ErrorAccessDenied") if at(request, "messages", 1, 3) else None
    assert items(crawl()) == expected(graph, ALICE)


def test_trap_11_a_good_token_that_is_called_expired_is_renewed(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: (
        graph_error(401, "InvalidAuthenticationToken") if at(request, "messages", 1, 2) else None
    )
    assert items(crawl()) == expected(graph, ALICE)
    assert graph.tokens == 3


def test_trap_12_a_lasting_mailbox_fault_parks_the_mailbox_only(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60), BOB: mailbox_of(60)}
    graph.bend = lambda request, reply: graph_error(503, "MailboxInfoStale") if request.mailbox == BOB else None
    staged = crawl(ALICE, BOB)
    assert items(staged) == expected(graph, ALICE)
    assert (staged.mailboxes["done"], staged.mailboxes["parked"]) == (1, 1)
    assert staged.partial_reasons == ("1 mailboxes could not be read whole (MailboxInfoStale)",)


def test_trap_13_an_empty_404_is_asked_again(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: Reply(404, b"") if request.ordinal == 1 else None
    assert items(crawl()) == expected(graph, ALICE)


def test_trap_14_an_unknown_failure_never_means_done(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: graph_error(418, "SomethingNew") if request.kind == "messages" else None
    staged = crawl()
    assert staged.mailboxes["parked"] == 1 and staged.read_mailboxes == frozenset()


def test_trap_14_an_empty_page_over_a_full_mailbox_is_not_believed(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: json_reply({"value": []}) if at(request, "messages", 1) else None
    assert items(crawl()) == expected(graph, ALICE)


def test_b9_a_count_that_stays_above_the_list_is_reported_and_not_walked_again_and_again(
    graph: ScriptedGraph, crawl: Crawl
) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95), BOB: mailbox_of(95)}

    def two_more(request: Request, reply: Reply) -> Reply | None:
        if request.mailbox != BOB or request.kind not in ("count", "messages"):
            return None
        if request.kind == "count":
            return Reply(200, str(int(reply.body) + 2).encode(), {"content-type": "text/plain"})
        document = json.loads(reply.body)
        return json_reply({**document, "@odata.count": document.get("@odata.count", 0) + 2})

    graph.bend = two_more
    staged = crawl(ALICE, BOB)
    assert staged.read_mailboxes == {ALICE}
    assert staged.partial_reasons == ("1 mailboxes could not be read whole (count_lastingly_short)",)
    # Twice whole, and once from the last instant.
    assert len(graph.asked("messages", BOB)) <= 2 * len(graph.asked("messages", ALICE)) + 1


def test_trap_14_one_count_of_nothing_is_not_believed(graph: ScriptedGraph, crawl: Crawl) -> None:
    """The planning pass asks many mailboxes at once; a zero there would close the month for good."""
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: Reply(200, b"0") if at(request, "count", 1) else None
    staged = crawl()
    assert items(staged) == expected(graph, ALICE)
    assert staged.expected_copies == staged.walked_copies == 60


def test_a_mailbox_with_nothing_in_it_costs_one_page_and_no_folders(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: []}
    staged = crawl()
    assert staged.mailboxes["done"] == 1 and not staged.partial_reasons
    assert (len(graph.asked("messages")), len(graph.asked("mailFolders"))) == (1, 0)


def test_trap_2_a_service_that_cannot_count_is_believed_after_a_walk_that_brings_nothing_more(
    graph: ScriptedGraph, crawl: Crawl
) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95), BOB: []}

    def uncounted(request: Request, reply: Reply) -> Reply | None:
        if request.kind == "count":
            return Reply(200, b"-1")
        if request.kind != "messages":
            return None
        document = json.loads(reply.body)
        if "@odata.count" in document:
            document["@odata.count"] = -1
        if at(request, "messages", 2):
            document.pop("@odata.nextLink")
        return json_reply(document)

    graph.bend = uncounted
    staged = crawl(ALICE, BOB)
    assert items(staged) == expected(graph, ALICE)
    assert staged.mailboxes["done"] == 2 and not staged.partial_reasons


def test_trap_17_to_20_what_is_missing_or_odd_is_kept_raw(graph: ScriptedGraph, crawl: Crawl) -> None:
    dn = "/O=EXCHANGELABS/OU=EXCHANGE ADMINISTRATIVE GROUP (FYDIBOHF23SPDLT)/CN=RECIPIENTS/CN=AB"
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    graph.mailboxes = {
        ALICE: [
            message(1, noon, **{"from": {"emailAddress": {"name": "X", "address": dn}}}),
            message(2, noon, toRecipients=[{"emailAddress": {"name": "Only a name"}}, {"emailAddress": None}]),
            message(3, noon, **{"from": None}, sender=None, isDraft=True, internetMessageId=None),
            message(4, noon, sentDateTime="1601-01-01T00:00:00Z", toRecipients=None),
        ]
    }
    rows = {row["item_id"]: row for row in rows_of(crawl()).to_pylist()}
    assert rows["item-000001="]["from_address"] == dn
    assert rows["item-000002="]["to_addresses"] == [None, None]
    assert rows["item-000003="]["is_draft"] and rows["item-000003="]["from_address"] is None
    assert rows["item-000004="]["sent_at"].year == 1601 and rows["item-000004="]["to_addresses"] == []


def test_trap_23_a_page_too_heavy_for_the_service_is_asked_for_smaller(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(200)}

    def bend(request: Request, reply: Reply) -> Reply | None:
        heavy = request.kind == "messages" and int(request.query["$top"]) > 30 and len(graph.requests) < 25
        return Reply(504, b"<html>") if heavy else None

    graph.bend = bend
    assert items(crawl(page_size=100)) == expected(graph, ALICE)
    sizes = [int(page.query["$top"]) for page in graph.asked("messages")]
    assert sizes[:3] == [100, 50, 25] and max(sizes[3:]) > 25


def test_trap_23_a_body_beyond_all_bounds_is_cut_off(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(40)}
    bomb = b'{"value":[' + b" " * (20 * 2**20) + b"]}"
    graph.bend = lambda request, reply: (
        Reply(200, bomb) if request.kind == "messages" and int(request.query["$top"]) > 10 else None
    )
    assert items(crawl()) == expected(graph, ALICE)


@pytest.mark.parametrize("header", ["0.25", "Mon, 02 Mar 2026 00:00:01 GMT"])
def test_trap_24_retry_after_is_kept_to(graph: ScriptedGraph, crawl: Crawl, header: str) -> None:
    graph.mailboxes = {ALICE: mailbox_of(30)}
    graph.bend = lambda request, reply: (
        graph_error(429, "ApplicationThrottled", retry_after=header, date="Mon, 02 Mar 2026 00:00:00 GMT")
        if at(request, "messages", 1)
        else None
    )
    assert items(crawl()) == expected(graph, ALICE)
    first, second = graph.asked("messages")[:2]
    assert second.at - first.at >= (0.25 if header == "0.25" else 1.0)


def test_trap_25_meeting_messages_are_tagged(graph: ScriptedGraph, crawl: Crawl) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    kind = {"@odata.type": "#microsoft.graph.eventMessageRequest", "meetingMessageType": "meetingRequest"}
    graph.mailboxes = {ALICE: [message(1, noon), message(2, noon, **kind)]}
    rows = {row["item_id"]: row["is_meeting_message"] for row in rows_of(crawl()).to_pylist()}
    assert rows == {"item-000001=": False, "item-000002=": True}


def test_trap_30_special_folders_and_what_lies_below_them_are_classed(graph: ScriptedGraph, crawl: Crawl) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    search = {"id": "folder-search", "@odata.type": "#microsoft.graph.mailSearchFolder", "childFolderCount": 0}
    graph.children = {
        "folder-deleted": [{"id": "folder-old", "childFolderCount": 1}, search],
        "folder-old": [{"id": "folder-older", "childFolderCount": 0}],
    }
    places = ["folder-inbox", "folder-junk", "folder-deleted", "folder-older", "folder-search"]
    graph.mailboxes = {ALICE: [message(n, noon, parentFolderId=place) for n, place in enumerate(places)]}
    rows = sorted((row["item_id"], row["folder_class"]) for row in rows_of(crawl()).to_pylist())
    assert [folder for _, folder in rows] == ["other", "junk", "deleted", "deleted", "other"]


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (404, "MailboxNotEnabledForRESTAPI", "no_mailbox"),
        (404, "ErrorInvalidUser", "gone"),
        (404, "ResourceNotFound", "gone"),
        (404, "Request_ResourceNotFound", "gone"),
        (403, "ErrorAccessDenied", "refused"),
        # A user without a licence: that is no refusal, which would make every month partial (graph.md 2.5).
        (401, "AuthenticationError", "no_mailbox"),
        (400, "extensionError", "no_mailbox"),
        (500, "ErrorInternalServerError", "parked"),
    ],
)
def test_mailboxes_that_do_not_answer_end_as_what_they_are(
    graph: ScriptedGraph, crawl: Crawl, status: int, code: str, outcome: str
) -> None:
    graph.mailboxes = {ALICE: mailbox_of(30), BOB: mailbox_of(30)}
    graph.bend = lambda request, reply: graph_error(status, code) if request.mailbox == BOB else None
    staged = crawl(ALICE, BOB)
    assert items(staged) == expected(graph, ALICE)
    assert (staged.mailboxes["done"], staged.mailboxes[outcome]) == (1, 1)


@pytest.mark.parametrize("place", [0, 7, 20, 94])
def test_one_corrupt_item_is_stepped_over_and_counted(graph: ScriptedGraph, crawl: Crawl, place: int) -> None:
    graph.mailboxes = {ALICE: mailbox_of(95)}
    bad = expected(graph, ALICE)[place]
    graph.bend = lambda request, reply: (
        graph_error(500, "ErrorCorruptData") if request.kind == "messages" and bad.encode() in reply.body else None
    )
    staged = crawl()
    assert items(staged) == [item for item in expected(graph, ALICE) if item != bad]
    assert staged.rejected == {"corrupt_item": 1}
    assert staged.partial_reasons == ("1 items cannot be delivered by the service",)


@pytest.mark.parametrize(
    "broken",
    [
        Reply(200, b'{"value":[{"id":'),
        Reply(200, b'{"value":' + b"[" * 5000),
        Reply(200, b'{"error":{"code":"UnknownError","message":""}}'),
        Reply(500, b'{"error":{"code":"\xff\xfe"}}'),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(503, b""),
        Reply(200, b"not gzip", {"content-encoding": "gzip"}),
        Reply(200, b'{"value":[]}' + b" " * 400, cut=40),
    ],
    ids=["cut_json", "deep", "error_in_200", "not_utf_8", "html_502", "empty_503", "not_gzip", "reset_in_body"],
)
def test_broken_answers_are_asked_for_again(graph: ScriptedGraph, crawl: Crawl, broken: Reply) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    graph.bend = lambda request, reply: broken if at(request, "messages", 1, 3) else None
    assert items(crawl()) == expected(graph, ALICE)


def test_a_row_of_a_wrong_shape_costs_that_row_only(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(20)}
    graph.mailboxes[ALICE][4]["toRecipients"] = "nobody"
    staged = crawl()
    assert len(items(staged)) == 19
    assert staged.rejected == {"wrong_shape": 1} and staged.mailboxes["done"] == 1


def test_b8_a_name_cut_off_within_an_emoji_costs_neither_its_mail_nor_the_mailbox(
    graph: ScriptedGraph, crawl: Crawl
) -> None:
    graph.mailboxes = {ALICE: mailbox_of(20)}
    names = ["Jo \ud83d", "Jo \ude00", "Jo \ud83d\ude00", "C:\\ud83d", "\ud83d\ud83d\ude00"]
    for row, name in zip(graph.mailboxes[ALICE], names, strict=False):
        row["from"] = {"emailAddress": {"name": name, "address": "jo@contoso.com"}}
    graph.mailboxes[ALICE][9]["toRecipients"] = "nobody"
    staged = crawl()
    assert staged.rejected == {"wrong_shape": 1} and not staged.partial_reasons
    read = {row["item_id"]: row["from_name"] for row in rows_of(staged).to_pylist()}
    assert [read[row["id"]] for row in graph.mailboxes[ALICE][: len(names)]] == [
        "Jo \ufffd",
        "Jo \ufffd",
        "Jo \U0001f600",
        "C:\\ud83d",
        "\ufffd\U0001f600",
    ]


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("wrap", [lambda text: {"code": text}, lambda text: text], ids=["code", "text"])
def test_a_sentence_in_place_of_an_error_code_is_not_shown(
    graph: ScriptedGraph, crawl: Crawl, wrap: Callable[[str], Any], status: int
) -> None:
    graph.mailboxes = {ALICE: mailbox_of(30)}
    said = json_reply({"error": wrap(f"No mailbox of alice@contoso.com ({ALICE})")}, status)
    graph.bend = lambda request, reply: said if request.kind == "messages" else None
    (reason,) = crawl().partial_reasons
    assert "alice" not in reason and ALICE not in reason


def test_an_error_behind_a_byte_order_mark_is_still_what_it_is(graph: ScriptedGraph, crawl: Crawl) -> None:
    graph.mailboxes = {ALICE: mailbox_of(30), BOB: mailbox_of(30)}
    refusal = graph_error(403, "ErrorAccessDenied")
    marked = Reply(refusal.status, b"\xef\xbb\xbf" + refusal.body, refusal.headers)
    graph.bend = lambda request, reply: marked if request.mailbox == BOB else None
    assert crawl(ALICE, BOB).mailboxes["refused"] == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users/x/messages",
        "http://127.0.0.1:{port}/v1.0/users/x/messages",
        "https://127.0.0.1:1/v1.0/users/x/messages",
        "https://127.0.0.1:{port}/beta/users/x/messages",
        "https://user@127.0.0.1:{port}/v1.0/users/x/messages",
        "https://127.0.0.1:{port}/v1.0/../beta/users",
        "https://127.0.0.1:{port}/v1.0/%2e%2e/beta/users",
        "//evil.example/v1.0/users",
        "https://127.0.0.1:{port}\\@evil.example/v1.0/users",
        "https://evil.example#@127.0.0.1:{port}/v1.0/users",
        "/v1.0/users/x/messages",
    ],
)
def test_a_link_to_anywhere_else_is_refused_and_not_shown(graph: ScriptedGraph, crawl: Crawl, link: str) -> None:
    graph.mailboxes = {ALICE: mailbox_of(60)}
    evil = link.replace("{port}", str(graph.port))
    graph.bend = lambda request, reply: with_link(reply, evil) if at(request, "messages", 1) else None
    with pytest.raises(UntrustedNextLink) as refused:
        crawl()
    assert "evil" not in str(refused.value) and "http" not in str(refused.value)
    assert len(graph.asked("messages")) == 1


def test_a_request_that_the_service_does_not_take_is_loud(graph: ScriptedGraph, crawl: Crawl) -> None:
    everyone = [letter * 36 for letter in "abcdef"]
    graph.mailboxes = {mailbox: mailbox_of(3) for mailbox in everyone}
    graph.bend = lambda request, reply: graph_error(400, "InefficientFilter") if request.kind == "messages" else None
    with pytest.raises(PipelineError, match="InefficientFilter"):
        crawl(*everyone)


def test_a_few_odd_mailboxes_that_come_first_do_not_stop_the_others(graph: ScriptedGraph, crawl: Crawl) -> None:
    odd, others = tenant_of(6, "odd"), tenant_of(14)
    graph.mailboxes = {**dict.fromkeys(odd, mailbox_of(9)), **dict.fromkeys(others, mailbox_of(3))}
    graph.bend = lambda request, reply: (
        graph_error(400, "ErrorInvalidRequest") if request.kind == "messages" and request.mailbox in odd else None
    )
    mailboxes = crawl(*odd, *others, max_concurrency=4).mailboxes
    assert (mailboxes["parked"], mailboxes["done"]) == (6, 14)


def test_b9_mailboxes_that_a_policy_refuses_are_counted_and_the_others_are_read(
    graph: ScriptedGraph, crawl: Crawl
) -> None:
    """Refusals are known before any mailbox is read: their share is that of the tenant, not of what is known so far."""
    everyone = tenant_of(40)
    graph.mailboxes = dict.fromkeys(everyone, mailbox_of(3))
    refused = everyone[:20]
    graph.bend = lambda request, reply: graph_error(403, "ErrorAccessDenied") if request.mailbox in refused else None
    staged = crawl(*everyone)
    assert (staged.mailboxes["refused"], staged.mailboxes["done"]) == (20, 20)
    assert staged.partial_reasons == ("20 mailboxes may not be read by the application",)


def test_b9_calendars_that_a_policy_refuses_do_not_stop_those_after_them(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    everyone = tenant_of(40)
    refused = everyone[:12]
    graph.bend = lambda request, reply: graph_error(403, "ErrorAccessDenied") if request.mailbox in refused else None
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope(everyone), stage, lambda: None, lambda line: None)
    assert (staged.mailboxes["refused"], staged.mailboxes["done"]) == (12, 28)


@pytest.mark.parametrize("kind", ["mail", "calendar"])
def test_b9_users_without_a_licence_have_no_mailbox_and_stop_nobody(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path, kind: str
) -> None:
    everyone = tenant_of(40)
    graph.mailboxes = dict.fromkeys(everyone, mailbox_of(3))
    unlicensed = everyone[:25]
    graph.bend = lambda request, reply: (
        graph_error(401, "AuthenticationError") if request.mailbox in unlicensed else None
    )
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    read = source.stage_emails if kind == "mail" else source.stage_meetings
    staged = read(MONTH, ReadScope(everyone), stage, lambda: None, lambda line: None)
    assert (staged.mailboxes["no_mailbox"], staged.mailboxes["done"]) == (25, 15)
    assert staged.partial_reasons == ()


def test_one_answer_as_to_a_user_without_a_licence_loses_no_mailbox(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    graph.bend = lambda request, reply: (
        graph_error(401, "AuthenticationError") if request.mailbox == BOB and at(request, "calendarView", 1) else None
    )
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope((ALICE, BOB)), stage, lambda: None, lambda line: None)
    assert staged.mailboxes["done"] == 2


@pytest.mark.parametrize("count", [3, 40])
def test_all_users_answered_as_without_a_licence_are_a_lost_permission(
    graph: ScriptedGraph, crawl: Crawl, count: int
) -> None:
    """A month without mailboxes would be complete and empty."""
    everyone = tenant_of(count)
    graph.mailboxes = dict.fromkeys(everyone, mailbox_of(3))
    graph.bend = lambda request, reply: graph_error(401, "AuthenticationError")
    with pytest.raises(PipelineError, match=f"none of {count} mailboxes"):
        crawl(*everyone)


def test_a_lost_permission_stops_the_crawl_before_every_mailbox_was_asked(graph: ScriptedGraph, crawl: Crawl) -> None:
    everyone = tenant_of(60)
    graph.mailboxes = dict.fromkeys(everyone, mailbox_of(3))
    graph.bend = lambda request, reply: graph_error(403, "ErrorAccessDenied")
    with pytest.raises(PipelineError, match="refuses at least 31 of 60 mailboxes"):
        crawl(*everyone, max_concurrency=4)
    assert len({request.mailbox for request in graph.requests}) < 40


def test_a_giant_mailbox_is_read_by_days_with_at_most_four_requests_at_once(
    graph: ScriptedGraph, crawl: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relationship_pipeline.sources.graph.mail.GIANT", 100)
    graph.mailboxes, graph.together = {ALICE: mailbox_of(300), BOB: mailbox_of(99)}, {ALICE: 4}
    staged = crawl(ALICE, BOB)
    assert items(staged) == expected(graph, ALICE, BOB)
    assert graph.most_in_flight[ALICE] == 4 and graph.most_in_flight[BOB] <= 2
    windows = {request.query["$filter"] for request in graph.asked("messages", ALICE)}
    assert len(windows) >= 31


def test_two_crawls_at_once_leave_a_mailbox_at_four_requests(
    graph: ScriptedGraph, crawl: Crawl, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relationship_pipeline.sources.graph.mail.GIANT", 100)
    graph.mailboxes, graph.together = {ALICE: mailbox_of(300)}, {ALICE: 2}
    other = Lanes(stage)
    assert other.take()
    assert items(crawl()) == expected(graph, ALICE)
    assert graph.most_in_flight[ALICE] == 2
    assert other.take() and not Lanes(stage).take(), "the crawl gave its pair back"
    other.give_back()


def test_events_in_another_zone_than_the_one_asked_for_are_read_by_that_zone(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    def event(name: str, clock: str, zone: str | None) -> dict[str, Any]:
        return {
            "id": name,
            "start": {"dateTime": clock, "timeZone": zone},
            "end": {"dateTime": clock, "timeZone": zone},
        }

    graph.events = {
        ALICE: [
            event("utc", "2026-03-10T12:00:00.0000000", "UTC"),
            event("summer", "2026-03-10T12:00:00.0000000", "Pacific Standard Time"),
            event("iana", "2026-03-10T12:00:00.0000000", "Europe/Berlin"),
            event("lower", "2026-03-10T12:00:00.0000000", " europe/berlin "),
            event("link", "2026-03-10T12:00:00.0000000", "tzone://Microsoft/Utc"),
            event("custom", "2026-03-10T12:00:00.0000000", "tzone://Microsoft/Custom"),
            event("folder", "2026-03-10T12:00:00.0000000", "Europe"),
            event("the next month there, this one here", "2026-04-01T01:00:00.0000000", "W. Europe Standard Time"),
            event("this month there, the next one here", "2026-03-31T23:00:00.0000000", "Pacific Standard Time"),
            event("nowhere", "2026-03-10T12:00:00.0000000", "Customized Time Zone"),
            event("timeless", "", "UTC"),
        ]
    }
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope([ALICE]), stage, lambda: None, lambda line: None)
    starts = {row["item_id"]: row["start_at"] for row in rows_of(staged).to_pylist()}
    assert starts == {
        "utc": datetime(2026, 3, 10, 12, tzinfo=UTC),
        "summer": datetime(2026, 3, 10, 19, tzinfo=UTC),
        "iana": datetime(2026, 3, 10, 11, tzinfo=UTC),
        "lower": datetime(2026, 3, 10, 11, tzinfo=UTC),
        "link": datetime(2026, 3, 10, 12, tzinfo=UTC),
        "the next month there, this one here": datetime(2026, 3, 31, 23, tzinfo=UTC),
    }
    assert staged.rejected == {"unknown_time_zone": 3, "no_start": 1}


def meetings_of(count: int) -> list[dict[str, Any]]:
    time = {"dateTime": "2026-03-10T12:00:00.0000000", "timeZone": "UTC"}
    return [
        {"id": f"event-{number}", "iCalUId": f"uid-{number}", "start": time, "end": time} for number in range(count)
    ]


@pytest.mark.parametrize("is_whole_calendar", [False, True])
def test_f16_corrupt_events_are_stepped_over_and_counted(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path, is_whole_calendar: bool
) -> None:
    graph.events = {ALICE: [{**event, **hour_of(10 * place)} for place, event in enumerate(meetings_of(70))]}

    def spoil(request: Request, reply: Reply) -> Reply | None:
        if request.kind != "calendarView":
            return None
        first, last = request.query["startDateTime"], request.query["endDateTime"]
        rows = [
            row
            for row in graph.events[ALICE]
            if f"{row['end']['dateTime']}Z" > first and f"{row['start']['dateTime']}Z" < last
        ]
        if is_whole_calendar or any(row["id"] in ("event-7", "event-69") for row in rows):
            return graph_error(500, "ErrorCorruptData")
        return json_reply({"value": rows, "@odata.count": len(rows)})

    graph.bend = spoil
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope([ALICE]), stage, lambda: None, lambda line: None)
    if is_whole_calendar:
        assert staged.mailboxes["parked"] == 1 and not staged.files
        return
    assert items(staged) == sorted(f"event-{place}" for place in range(70) if place not in (7, 69))
    assert staged.rejected == {"corrupt_item": 2} and staged.mailboxes["done"] == 1
    assert staged.partial_reasons == ("2 items cannot be delivered by the service",)


def hour_of(hour: int) -> dict[str, Any]:
    start = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour)
    return {
        name: {"dateTime": at.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}
        for name, at in (("start", start), ("end", start + timedelta(minutes=50)))
    }


def test_an_event_of_a_wrong_shape_costs_that_event_only(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    graph.events = {ALICE: meetings_of(20)}
    graph.events[ALICE][4]["attendees"] = [None]
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope([ALICE]), stage, lambda: None, lambda line: None)
    assert len(items(staged)) == 19
    assert staged.rejected == {"wrong_shape": 1} and staged.mailboxes["done"] == 1


def test_trap_9_a_calendar_too_heavy_is_asked_for_in_small_pages_and_those_patiently(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    graph.events = {ALICE: meetings_of(25)}
    last = 2 * QUICK.tries
    graph.bend = lambda request, reply: (
        Reply(503, b"") if request.kind == "calendarView" and request.ordinal < last else None
    )
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    lines: list[str] = []
    staged = source.stage_meetings(MONTH, ReadScope([ALICE]), stage, lambda: None, lines.append)
    assert not any("did not answer" in line for line in lines), "it was not given up meanwhile"
    assert staged.mailboxes["done"] == 1 and rows_of(staged).num_rows == 25
    sizes = [request.query["$top"] for request in graph.asked("calendarView")]
    assert sizes[0] == "250" and set(sizes[1:]) == {"10"}, "a page that is too much is not asked for twice"


def test_trap_14_a_calendar_that_counts_more_than_it_delivers_is_not_done_but_what_came_is_kept(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    graph.events = {ALICE: meetings_of(20), BOB: meetings_of(5)}

    def one_more(request: Request, reply: Reply) -> Reply | None:
        if request.kind != "calendarView" or request.mailbox != ALICE:
            return None
        return json_reply({**json.loads(reply.body), "@odata.count": 21})

    graph.bend = one_more
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    staged = source.stage_meetings(MONTH, ReadScope([ALICE, BOB]), stage, lambda: None, lambda line: None)
    assert rows_of(staged).column("mailbox").to_pylist().count(ALICE) == 20
    assert staged.read_mailboxes == {BOB}
    assert staged.partial_reasons == ("1 mailboxes could not be read whole (count_short)",)


def test_o1_an_opt_out_group_with_a_member_that_cannot_be_read_stops_the_run(
    graph: ScriptedGraph, graph_settings: GraphSettings
) -> None:
    graph.bend = lambda request, reply: json_reply({"id": "lawyers"}) if request.path.endswith("lawyers") else None
    graph.collections = {
        "groups/lawyers/transitiveMembers": [{"id": ALICE}, {"id": ["odd"]}],
        "users": [],
        "domains": [],
    }
    with pytest.raises(TryAgain, match="could not be read"):
        GraphSource(graph_settings, patience=QUICK).read_directory(["lawyers"])


class Days:
    """Refreshes of one mailbox's month, day by day."""

    def __init__(self, settings: GraphSettings, stage: Path) -> None:
        self.settings, self.stage = settings, stage
        self.committed: str | None = None

    def read(self, day: datetime) -> dict[str, str]:
        """Refresh and commit; the folder classes of what was read."""
        source = GraphSource(self.settings, patience=QUICK, now=lambda: day)
        scope = ReadScope((ALICE,), committed=self.committed)
        staged = source.stage_emails(MONTH, scope, self.stage, lambda: None, lambda line: None)
        rows = {row["item_id"]: row["folder_class"] for row in rows_of(staged).to_pylist()}
        self.committed = f"content of {day}"
        staged.settle(self.committed)
        return rows


def test_folders_remembered_are_not_asked_for_again_for_what_is_new(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    graph.mailboxes = {ALICE: [message(n, datetime(2026, 3, 2 + n, tzinfo=UTC)) for n in range(20)]}
    days = Days(graph_settings, stage)
    days.read(datetime(2026, 3, 15, tzinfo=UTC))
    asked = len(graph.asked("mailFolders"))
    assert days.read(datetime(2026, 3, 18, tzinfo=UTC))
    assert len(graph.asked("mailFolders")) == asked


def test_b6_a_folder_deleted_since_it_was_looked_at_takes_its_mail_out_of_the_closed_month(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    place = "folder-project"
    graph.mailboxes = {
        ALICE: [message(n, datetime(2026, 3, 2 + n, tzinfo=UTC), parentFolderId=place) for n in range(3)]
    }
    days = Days(graph_settings, stage)
    assert set(days.read(datetime(2026, 3, 27, tzinfo=UTC)).values()) == {"other"}
    graph.children = {"folder-deleted": [{"id": place, "childFolderCount": 0}]}
    assert set(days.read(datetime(2026, 4, 2, tzinfo=UTC)).values()) == {"deleted"}


@pytest.mark.parametrize(
    ("doing", "kind", "reading", "fails"),
    [
        ("planning", "count", "mail", False),
        ("reading mail that fails", "messages", "mail", True),
        ("reading calendars that fail", "calendarView", "calendar", True),
    ],
)
def test_c4_consent_that_ends_stops_the_crawl_whatever_it_is_doing(
    graph: ScriptedGraph,
    graph_settings: GraphSettings,
    stage: Path,
    monkeypatch: pytest.MonkeyPatch,
    doing: str,
    kind: str,
    reading: str,
    fails: bool,
) -> None:
    """None of this stores anything, which asks by itself."""
    monkeypatch.setattr("relationship_pipeline.sources.graph.crawl.CONSENT_SECONDS", 0.0)
    everyone = tenant_of(60)
    graph.mailboxes = dict.fromkeys(everyone, mailbox_of(3))
    after: list[Request] = []

    def bend(request: Request, reply: Reply) -> Reply | None:
        if after or request.kind == kind:
            after.append(request)
        return graph_error(503, "serviceNotAvailable") if fails and request.kind == kind else None

    def checkpoint() -> None:
        if after:
            raise ConsentRefused("consent is gone")

    graph.bend = bend
    source = GraphSource(graph_settings.model_copy(update={"max_concurrency": 4}), patience=QUICK, now=lambda: NOW)
    read = source.stage_emails if reading == "mail" else source.stage_meetings
    with pytest.raises(ConsentRefused):
        read(MONTH, ReadScope(everyone), stage, checkpoint, lambda line: None)
    assert len({request.mailbox for request in after}) <= 5, doing


def test_c4_asking_for_consent_costs_little(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relationship_pipeline.sources.graph.crawl.CONSENT_SECONDS", 3600.0)
    everyone, asked = tenant_of(60), []
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    source.stage_meetings(MONTH, ReadScope(everyone), stage, lambda: asked.append(1), lambda line: None)
    assert len(asked) < len(everyone)


def tenant_of(count: int, name: str = "user") -> list[str]:
    return [f"{name}-{number:03d}" for number in range(count)]


def at(request: Request, kind: str, *ordinals: int) -> bool:
    return request.kind == kind and request.ordinal in ordinals


def with_link(reply: Reply, link: str) -> Reply:
    return json_reply({**json.loads(reply.body), "@odata.nextLink": link})


def without_link(reply: Reply) -> Reply:
    return json_reply({name: value for name, value in json.loads(reply.body).items() if name != "@odata.nextLink"})
