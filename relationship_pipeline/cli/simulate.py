"""simulate-tenant: the Graph simulator alone, for development and load tests."""

from __future__ import annotations

from pathlib import Path

import click

from relationship_pipeline.errors import BadInput, PipelineError


@click.command("simulate-tenant")
@click.option("--port", default=0, show_default="a free one", type=click.IntRange(0, 65535))
@click.option("--users", type=click.IntRange(2), help="Members with a mailbox.")
@click.option("--messages-per-month", type=click.IntRange(1), help="Message copies a month over all mailboxes.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--scenario", type=click.Path(path_type=Path, dir_okay=False), help="YAML file; docs/simulator.md.")
def simulate_tenant(
    port: int, users: int | None, messages_per_month: int | None, seed: int | None, scenario: Path | None
) -> None:
    """Serve a simulated Microsoft Graph on loopback until Ctrl-C."""
    from relationship_pipeline.simulator.scenario import ScenarioError
    from relationship_pipeline.simulator.server import SimulatorError, run

    try:
        run(port, users, messages_per_month, seed, scenario)
    except ScenarioError as error:
        raise BadInput(str(error)) from None
    except SimulatorError as error:
        raise PipelineError(str(error)) from None


COMMANDS = [simulate_tenant]
