"""A crawl in a process of its own, for tests that kill it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import msal  # noqa: F401 - warms the fork server: a kill must land in the crawl, not in an import
import pandas  # noqa: F401

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.base import ReadScope
from relationship_pipeline.sources.graph.source import GraphSource
from relationship_pipeline_tests.sources.graph.scripted import QUICK

NOW = datetime(2026, 5, 20, tzinfo=UTC)


def crawl(settings: bytes, mailboxes: list[str], month: str, stage: Path, pipe: Connection) -> None:
    """Stage a month; sends `started`, then the staged record's files and counts."""
    graph_settings: GraphSettings = pickle.loads(settings)
    source = GraphSource(graph_settings, patience=QUICK, now=lambda: NOW)
    pipe.send("started")
    staged = source.stage_emails(month, ReadScope(mailboxes), stage, lambda: None, lambda line: None)
    pipe.send((list(staged.files), dict(staged.mailboxes), staged.walked_copies, staged.expected_copies))
