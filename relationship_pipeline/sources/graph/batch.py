"""Several small questions in one request (`$batch`, graph.md 3.1, 3.2): each would cost more than its answer.

A batch is a convenience: what it leaves open, for whatever reason, is asked for by itself, with all patience.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from relationship_pipeline.sources.graph.client import IMMUTABLE, GraphClient
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.wire import BadPage, BatchPart, decode_batch, decode_count

MOST = 20
"""Parts that Graph takes in one batch."""
ANSWERED = (200, 424)
"""Of a batch: 424 where a part was throttled, in older versions of the service (graph.md 3.2)."""


@dataclass(frozen=True)
class Question:
    """A GET within a batch: `url` below the version (`/users/…`), about one mailbox."""

    url: str
    mailbox: str


async def ask(client: GraphClient, lane: str, questions: Mapping[str, Question]) -> dict[str, BatchPart]:
    """The parts that were answered, by the questions' names; none where the service has no batches or would not answer
    this one. A mailbox of which a part was throttled is left alone as long as the part says."""
    if not client.batches:
        return {}
    requests = [
        {"id": name, "method": "GET", "url": question.url, "headers": {"Prefer": IMMUTABLE}}
        for name, question in questions.items()
    ]
    body = msgspec.json.encode({"requests": requests})
    try:
        parts = await client.fetch(f"{client.base}/$batch", lane, decode_batch, post=body, accept=ANSWERED)
    except GraphFault as fault:
        if fault.kind in (Kind.CALLER, Kind.GONE, Kind.NOT_FOUND):
            client.batches = False
        return {}
    for name, part in parts.items():
        if part.status in (429, 503) and name in questions:
            client.hold_back(questions[name].mailbox, part.headers)
    return parts


def count_of(part: BatchPart | None) -> int | None:
    """The number in an answered `/$count`: a bare number, one in quotes, or, as bodies that are no JSON travel, base64."""
    if part is None or part.status != 200:
        return None
    text = bytes(part.body).strip().strip(b'"')
    try:
        return decode_count(text if text.isdigit() else base64.b64decode(text, validate=True))
    except (BadPage, binascii.Error):
        return None
