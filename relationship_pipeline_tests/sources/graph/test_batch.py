"""Small questions in one request: what a batch tells is used, what it leaves open is asked for by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.base import ReadScope
from relationship_pipeline.sources.graph.batch import count_of
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline.sources.graph.wire import BatchPart
from relationship_pipeline_tests.sources.graph.scripted import (
    QUICK,
    Reply,
    Request,
    ScriptedGraph,
    json_reply,
    mailbox_of,
)
from relationship_pipeline_tests.sources.graph.test_ground_truth import assert_truth, scenario, tenant


@pytest.mark.parametrize(
    ("status", "body", "count"),
    [
        (200, "42", 42),
        (200, '"42"', 42),
        (200, '"NDI="', 42),
        (200, "-1", None),
        (200, '"LTE="', None),
        (200, '"not a count"', None),
        (200, '{"error":{"code":"UnknownError"}}', None),
        (200, "", None),
        (404, "42", None),
    ],
)
def test_a_count_within_a_batch_is_read_in_every_form_it_may_travel_in(
    status: int, body: str, count: int | None
) -> None:
    assert count_of(BatchPart(id="1", status=status, body=msgspec.Raw(body.encode()))) == count


def test_mailboxes_are_sized_twenty_to_a_request(tmp_path: Path) -> None:
    with tenant(tmp_path, scenario(71, [], users=50)) as simulated:
        assert_truth(simulated, simulated.emails())
        requests = simulated.server.control("requests")
        sizing = [e for e in requests if e["endpoint"] == "batch"][:4]
        first_page = next(e for e in requests if e["endpoint"] == "messages")
        assert len(simulated.everyone) <= 80 and all(e["at"] <= first_page["at"] for e in sizing[:3])
        assert max(e["rows"] for e in requests if e["endpoint"] == "batch") == 20
        simulated.assert_polite()


def test_a_throttled_part_leaves_its_mailbox_alone_as_long_as_it_says(tmp_path: Path) -> None:
    rule = {"kind": "F1", "variant": "decimal", "endpoint": "count", "nth": [1], "seconds": 0.4}
    with tenant(tmp_path, scenario(72, [rule])) as simulated:
        assert_truth(simulated, simulated.emails())
        assert simulated.server.control("faults")["struck"]
        simulated.assert_polite()


def test_3_2_a_batch_answered_with_424_is_read_part_by_part(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    mailboxes = ["a" * 36, "b" * 36]
    graph.mailboxes = {mailbox: mailbox_of(3) for mailbox in mailboxes}
    throttled = {
        "id": "1",
        "status": 429,
        "headers": {"Retry-After": "0.3"},
        "body": {"error": {"code": "TooManyRequests"}},
    }
    counted = {"responses": [{"id": "0", "status": 200, "body": 3}, throttled]}

    def bend(request: Request, reply: Reply) -> Reply | None:
        if request.path.endswith("$batch"):
            return json_reply(counted, 424) if request.ordinal == 1 else json_reply({"responses": []})
        return None

    graph.bend = bend
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: datetime(2026, 6, 1, tzinfo=UTC))
    staged = source.stage_emails("2026-03", ReadScope(mailboxes), stage, lambda: None, lambda line: None)
    assert staged.walked_copies == 6
    batch, count = graph.asked("$batch")[0], graph.asked("count")
    assert {request.mailbox for request in count} == {mailboxes[1]}, "what the batch counted is not asked again"
    assert count[0].at - batch.at >= 0.3, "the part's own Retry-After is kept to"


def test_without_batches_everything_is_asked_for_by_itself(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    mailboxes = [f"{number:036d}" for number in range(25)]
    graph.mailboxes = {mailbox: mailbox_of(3) for mailbox in mailboxes}
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: datetime(2026, 6, 1, tzinfo=UTC))
    lines: list[str] = []
    staged = source.stage_emails("2026-03", ReadScope(mailboxes), stage, lambda: None, lines.append)
    assert staged.walked_copies == 75 and staged.mailboxes["done"] == 25
    assert any("25 mailboxes hold 75 items" in line for line in lines)


def test_nothing_of_a_batch_is_believed_that_is_no_batch(
    graph: ScriptedGraph, graph_settings: GraphSettings, stage: Path
) -> None:
    def bend(request: Request, reply: Reply) -> Reply | None:
        document: dict[str, Any] = {"responses": [{"id": "0", "status": 200, "body": 1}, {"id": "99", "status": 429}]}
        return Reply(200, json.dumps(document).encode()) if request.path.endswith("$batch") else None

    graph.bend = bend
    graph.mailboxes = {"a" * 36: mailbox_of(30)}
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: datetime(2026, 6, 1, tzinfo=UTC))
    staged = source.stage_emails("2026-03", ReadScope(list(graph.mailboxes)), stage, lambda: None, lambda line: None)
    assert staged.walked_copies == 30, "a wrong size only misleads the plan"
