"""The demo tenant's parameters, kept in `control/demo.json` so that every later command meets the same tenant.

No personal data: the people are generated from the seed. The tenant itself is the simulator's.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from relationship_pipeline.domain.months import add_months, month_of, month_range
from relationship_pipeline.durable import make_folder, put_bytes
from relationship_pipeline.errors import BadInput

DOMAIN = "contoso.example"


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


def generate(tenant: DemoTenant, folder: Path) -> None:
    """Write the tenant as an export folder `export` and a CRM folder `crm` below `folder`, unless they are there whole."""
    from relationship_pipeline.simulator.export import write_crm, write_export
    from relationship_pipeline.simulator.scenario import Scenario
    from relationship_pipeline.simulator.tenant import Tenant

    done = folder / "generated"
    if done.exists():
        return
    running = month_of(tenant.as_of)
    scenario = Scenario(
        seed=tenant.seed,
        users=tenant.users,
        months=tuple(month_range(add_months(running, -tenant.months), running)),
        messages_per_month=70 * tenant.users,
        now=tenant.as_of.isoformat(),
        tenant_domain=DOMAIN,
    )
    make_folder(folder)
    write_export(Tenant(scenario), folder / "export")
    write_crm(Tenant(scenario), folder / "crm")
    put_bytes(done, b"")
