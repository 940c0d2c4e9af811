"""A scripted Graph for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline_tests.sources.graph.scripted import ScriptedGraph, scripted_graph


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[tuple[ScriptedGraph, GraphSettings]]:
    with scripted_graph(tmp_path) as both:
        yield both


@pytest.fixture
def graph(scripted: tuple[ScriptedGraph, GraphSettings]) -> ScriptedGraph:
    return scripted[0]


@pytest.fixture
def graph_settings(scripted: tuple[ScriptedGraph, GraphSettings]) -> GraphSettings:
    return scripted[1]


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    folder = tmp_path / "stage"
    folder.mkdir()
    return folder
