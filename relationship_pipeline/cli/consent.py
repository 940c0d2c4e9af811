"""consent status / provide / withdraw."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from relationship_pipeline import data_dir
from relationship_pipeline.cli.output import iso, json_option, print_json
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentLevel
from relationship_pipeline.errors import BadInput


@click.group()
def consent() -> None:
    """Give, look at and withdraw the administrator's consent."""


@consent.command()
@json_option
def status(as_json: bool) -> None:
    """The consent record and its history."""
    ledger = ControlLedger(data_dir.open_settings().layout)
    record = ledger.current()
    if as_json:
        print_json(
            {
                "state": record.state if record else "none",
                "epoch": record.epoch if record else None,
                "level": record.level if record else None,
                "admin": record.admin if record else None,
                "role": record.admin_role if record else None,
                "verified": record.verified if record else None,
                "granted_at": iso(record.granted_at) if record else None,
                "changed_at": iso(record.changed_at) if record else None,
                "first_month": record.first_month if record else None,
                "history": [
                    {
                        "epoch": past.epoch,
                        "state": past.state,
                        "level": past.level,
                        "at": iso(past.changed_at),
                        "reason": reason,
                    }
                    for past, reason in ledger.history()
                ],
            }
        )
        return
    if record is None:
        click.echo("no consent yet: run `relationship-pipeline consent provide --admin WHO`")
        return
    confirmed = "confirmed by the directory" if record.verified else "unverified"
    click.echo(f"consent {record.state}, level {record.level}, epoch {record.epoch}")
    click.echo(f"given by {record.admin} ({record.admin_role}, {confirmed}) on {iso(record.granted_at)}")
    click.echo(f"collects from {record.first_month}; last change {iso(record.changed_at)}")


@consent.command()
@click.option("--admin", required=True, metavar="WHO", help="The Global Administrator who consents.")
@click.option(
    "--level", type=click.Choice([level.value for level in ConsentLevel]), default="identifiable", show_default=True
)
@click.option(
    "--opt-out-group", "groups", multiple=True, metavar="ID", help="Security group whose members are not collected."
)
def provide(admin: str, level: str, groups: tuple[str, ...]) -> None:
    """Record the administrator's consent; under a live one, change its level and groups."""
    settings = data_dir.open_settings()
    if not admin.strip():
        raise BadInput("--admin is empty: name the administrator who consents")
    data_dir.prepare(settings)
    record, is_new = ControlLedger(settings.layout).provide(
        admin.strip(), now=datetime.now(UTC), level=ConsentLevel(level), history_until=settings.as_of
    )
    what = "consent recorded" if is_new else "consent is live already; its level and groups are now as given"
    click.echo(f"{what}: level {record.level}, epoch {record.epoch}, history from {record.first_month}")
    if not record.verified:
        click.echo("the administrator's role is recorded as stated (unverified)", err=True)
    click.echo("next: relationship-pipeline backfill")


COMMANDS = [consent]
