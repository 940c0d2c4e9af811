"""Opening Graph: settings to a client with its tokens and throttle, for a crawl or for a few questions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from relationship_pipeline.sources.graph import directory
from relationship_pipeline.sources.graph.auth import TokenSource
from relationship_pipeline.sources.graph.client import PATIENT, GraphClient, Patience
from relationship_pipeline.sources.graph.directory import Grants, Probe
from relationship_pipeline.sources.graph.throttle import Throttle

if TYPE_CHECKING:
    from relationship_pipeline.settings import GraphSettings

Answer = TypeVar("Answer")


def open_graph(
    settings: GraphSettings,
    patience: Patience = PATIENT,
    *,
    require: Collection[str] = (),
) -> GraphClient:
    """A client to use as an async context manager. Raises BadInput. `require`: see TokenSource."""
    tokens = TokenSource(settings, require=require, first_wait=patience.sign_in_wait)
    return GraphClient(settings, tokens, Throttle(settings.max_concurrency), patience)


class GraphAccess:
    """Questions to the tenant, each with a fresh sign-in (no cached token or error, graph.md 4.1). Blocking; raises
    TokenRefused, Refused (too many permissions), GraphFault, BadInput."""

    def __init__(self, settings: GraphSettings, patience: Patience = PATIENT) -> None:
        self.settings = settings
        self.patience = patience

    def ask(self, question: Callable[[GraphClient], Awaitable[Answer]]) -> Answer:
        async def run() -> Answer:
            async with open_graph(self.settings, self.patience) as client:
                return await question(client)

        return asyncio.run(run())

    def read_grants(self) -> Grants:
        """What is granted to our application in the directory now."""
        return self.ask(lambda client: directory.read_grants(client, self.settings.client_id or ""))

    def is_global_admin(self, who: str) -> bool | None:
        """C1; None when that may not be read."""
        return self.ask(lambda client: directory.is_global_admin(client, who))

    def probe_mailbox(self, mailbox: str | None = None) -> Probe:
        """Whether a mailbox, by default the sentinel of the settings, can be read."""
        name = mailbox or self.settings.sentinel_mailbox
        if not name:
            return Probe.UNKNOWN
        return self.ask(lambda client: directory.probe_mailbox(client, name))
