"""docs/simulator.md says what the simulator does, no less."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from relationship_pipeline.simulator.control import Control
from relationship_pipeline.simulator.faults import VARIANTS
from relationship_pipeline.simulator.scenario import Scenario, scenario_from
from relationship_pipeline.simulator.service import GraphService

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", VARIANTS)
def test_every_fault_and_variant_is_documented(kind: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {kind} |"))
    variants = VARIANTS[kind]
    assert "the same" in row or all(variant in row for variant in variants)


def test_every_control_path_is_documented() -> None:
    control = Control(GraphService(Scenario(seed=1, users=2, months=("2025-01",))))
    for path in (*control._get, *control._post):
        assert f"{path}`" in PAGE or f"{path}?" in PAGE or f"…/{path.rpartition('/')[2]}`" in PAGE, path


def test_the_scenario_shown_is_a_scenario() -> None:
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert text
    document = yaml.safe_load(text[1])
    assert set(document) <= {field.name for field in fields(Scenario)}
    scenario = scenario_from(document, Scenario(), "docs")
    assert scenario.realism.giant_mailbox == 400_000
    assert len(GraphService(scenario).faults.rules) == len(scenario.faults) == 3
