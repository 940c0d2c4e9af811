"""The hardened connection to a role's published database (reliability.md 6): the only way this package reads one.

Read-only, no file or network access, no extensions, no look into the Python process's variables, configuration locked,
memory and spill bounded. SQL from people goes through `query.py`, which allows less still.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.errors import Refused
from relationship_pipeline.layout import EpochLayout, Layout

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Limits:
    """What one reader may use. `timeout` in seconds."""

    memory: str = "1GiB"
    spill: str = "2GiB"
    threads: int = min(4, os.cpu_count() or 1)
    timeout: float = 60.0


DEFAULT_LIMITS = Limits()


def database_path(published: Path, role: str) -> Path:
    """`<role>.duckdb` in a folder of published files; the role's name has been checked (roles.py)."""
    return published / f"{role}.duckdb"


def report_path(published: Path, role: str) -> Path:
    return published / f"{role}.html"


def current_epoch(layout: Layout) -> EpochLayout:
    """The tree of the live consent. Raises ConsentRefused without one: after a withdrawal nothing is read, even before
    the files are gone."""
    return layout.epoch(ControlLedger(layout).require(Purpose.DERIVE).epoch)


@contextmanager
def open_published(
    epoch: EpochLayout, role: str, limits: Limits = DEFAULT_LIMITS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A hardened connection to what the role may read now; it keeps its version while others publish. UTC.

    Raises Refused when nothing is published for the role.
    """
    import duckdb

    path = database_path(epoch.published, role)
    if not path.exists():
        raise Refused(
            f"nothing is published for role {role} yet; run `relationship-pipeline backfill` "
            "or, after a change of grants, `relationship-pipeline refresh`"
        )
    connection = duckdb.connect(
        str(path),
        read_only=True,
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": limits.memory,
            "threads": str(limits.threads),
            "temp_directory": str(epoch.spill),
            "max_temp_directory_size": limits.spill,
        },
    )
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()
