"""The demo tenant's parameters, kept in `control/demo.json` so that every later command meets the same tenant.

No personal data: the people are generated from the seed. The tenant itself is the simulator's.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from relationship_pipeline.durable import put_bytes
from relationship_pipeline.errors import BadInput


class DemoTenant(msgspec.Struct, frozen=True, kw_only=True):
    """`as_of` is the instant the tenant lives in: its mail ends there and insights are computed for it, so that running
    the demo again gives the same tables."""

    users: int
    months: int
    seed: int
    as_of: datetime


def read_demo(path: Path) -> DemoTenant | None:
    """The tenant of this data directory, None where it holds no demo."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DemoTenant)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BadInput("control/demo.json cannot be read; use another data directory for a new demo") from error


def write_demo(path: Path, tenant: DemoTenant) -> None:
    put_bytes(path, msgspec.json.encode(tenant))
