"""Requests as the handlers see them, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from relationship_pipeline.simulator.faults import Rule
from relationship_pipeline.simulator.query import Options

JSON = "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8"
_encode = msgspec.json.Encoder().encode


@dataclass
class Call:
    """One request to Graph after routing. `endpoint` is the family that faults and limits go by."""

    method: str
    base: str  # https://host:port, as the client wrote it
    path: str  # below /v1.0, unquoted
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    options: Options
    endpoint: str
    mailbox: str  # object id, "" for the directory
    group: str
    sign: Callable[[str], str]
    fault: Rule | None = None
    body: bytes = b""

    @property
    def prefer(self) -> str:
        return self.headers.get("prefer", "")

    @property
    def immutable(self) -> bool:
        return 'idtype="immutableid"' in self.prefer.lower().replace(" ", "")

    @property
    def page_size(self) -> int | None:
        """odata.maxpagesize of the Prefer header."""
        for part in self.prefer.split(","):
            name, _, value = part.strip().partition("=")
            if name.lower() == "odata.maxpagesize" and value.strip().isdigit() and int(value) > 0:
                return int(value)
        return None

    @property
    def eventual(self) -> bool:
        return self.headers.get("consistencylevel", "").lower() == "eventual"


@dataclass
class Answer:
    """Status, body and headers; `rows` counts what a page holds, for the latency model and the log."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    rows: int = 0


def data(document: Any, rows: int = 1) -> Answer:
    """A good answer."""
    return Answer(200, _encode(document), rows=rows)


def error(status: int, code: str, message: str = "", inner: Mapping[str, Any] | None = None) -> Answer:
    """An error in Graph's form: code, message and, unless Exchange answers by itself, innerError."""
    body: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        body["innerError"] = dict(inner)
    return Answer(status, _encode({"error": body}), content_type="application/json")
