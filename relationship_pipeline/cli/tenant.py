"""The simulated tenant under a demo directory: started for as long as a command needs a source to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from relationship_pipeline import data_dir
from relationship_pipeline.settings import Settings, SourceKind
from relationship_pipeline.sources.demo import read_demo, scenario


@contextmanager
def running_tenant(settings: Settings) -> Iterator[Settings]:
    """In a demo directory: serve its tenant on loopback, with its address in this process's environment, so that Dagster's
    children reach it too; elsewhere nothing. Yields the settings to work with."""
    tenant = read_demo(settings.layout.demo) if settings.source is SourceKind.DEMO else None
    if tenant is None or settings.graph.base_url is not None:
        yield settings
        return
    from relationship_pipeline.simulator.server import SimulatorServer

    with SimulatorServer(scenario(tenant)) as server:
        os.environ.update(server.address.settings())
        # the simulator's settings name the source `graph`; the directory stays a demo's
        os.environ["RELATIONSHIP_SOURCE"] = SourceKind.DEMO.value
        yield data_dir.open_settings(source=SourceKind.DEMO)
