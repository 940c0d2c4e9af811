"""The demo tenant's parameters, kept in `control/demo.json` so that every later command meets the same tenant.

No personal data: its people are generated from the seed, by the simulator.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from relationship_pipeline.domain.months import add_months, month_of, month_range
from relationship_pipeline.durable import adopt_folder, make_folder, put_bytes, temp_path
from relationship_pipeline.errors import BadInput

if TYPE_CHECKING:
    from relationship_pipeline.simulator.scenario import Scenario

DOMAIN = "contoso.example"
COPIES_PER_USER = 70
"""Message copies a user and month: what makes 12 months of the default tenant readable in about a minute."""


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


def scenario(tenant: DemoTenant) -> Scenario:
    """What the simulator is to serve."""
    from relationship_pipeline.simulator.scenario import Scenario

    running = month_of(tenant.as_of)
    return Scenario(
        seed=tenant.seed,
        users=tenant.users,
        months=tuple(month_range(add_months(running, -tenant.months), running)),
        messages_per_month=COPIES_PER_USER * tenant.users,
        now=tenant.as_of.isoformat(),
        tenant_domain=DOMAIN,
    )


def write_crm_folder(tenant: DemoTenant, folder: Path) -> None:
    """The CRM rows of the tenant as CSV files, unless the folder is there already: whole, or not at all."""
    from relationship_pipeline.simulator.crm import write_crm
    from relationship_pipeline.simulator.tenant import Tenant

    if not folder.exists():
        temp = make_folder(temp_path(folder.parent))
        write_crm(Tenant(scenario(tenant)), temp)
        adopt_folder(temp, folder)


def administrator(tenant: DemoTenant) -> str:
    """Principal name of the simulated Global Administrator, who has no mailbox."""
    from relationship_pipeline.simulator.people import People

    return People(scenario(tenant)).administrator.upn
