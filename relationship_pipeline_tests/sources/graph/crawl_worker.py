"""A crawl in a process of its own, for tests that kill it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import msal  # noqa: F401 - warms the fork server: a kill must land in the crawl, not in an import
import pandas  # noqa: F401

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.base import ReadScope, Staged
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import QUICK

NOW = datetime(2026, 5, 20, tzinfo=UTC)


def crawl(settings: bytes, mailboxes: list[str], month: str, stage: Path, pipe: Connection) -> None:
    """Stage a month's mail and then its meetings; sends `started`, then what was staged of both."""
    graph_settings: GraphSettings = pickle.loads(settings)
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    scope = ReadScope(mailboxes)
    pipe.send("started")
    mail = source.stage_emails(month, scope, stage, lambda: None, lambda line: None)
    meetings = source.stage_meetings(month, scope, stage, lambda: None, lambda line: None)
    pipe.send((_plain(mail), _plain(meetings)))


def _plain(staged: Staged) -> tuple[list[Path], dict[str, int], int | None, int | None]:
    return list(staged.files), dict(staged.mailboxes), staged.walked_copies, staged.expected_copies
