"""consent status / provide / withdraw."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from relationship_pipeline import data_dir, operations
from relationship_pipeline.cli.output import iso, json_option, print_json
from relationship_pipeline.cli.tenant import running_tenant
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentLevel, ConsentState
from relationship_pipeline.errors import BadInput, Refused


@click.group()
def consent() -> None:
    """Give, look at and withdraw the administrator's consent."""


@consent.command()
@json_option
def status(as_json: bool) -> None:
    """The consent record and its history."""
    ledger = ControlLedger(data_dir.open_settings().layout)
    record = ledger.current()
    events = {reason: past for past, reason in ledger.history() if record and past.epoch == record.epoch}
    giver, withdrawn = events.get("renewed", events.get("provided")), events.get("withdrawn")
    if as_json:
        print_json(
            {
                "state": record.state if record else "none",
                "epoch": record.epoch if record else None,
                "level": record.level if record else None,
                "admin": giver.admin if giver else None,
                "withdrawn_by": withdrawn.admin if withdrawn else None,
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
    if record is None or giver is None:
        click.echo("no consent yet: run `relationship-pipeline consent provide --admin WHO`")
        return
    confirmed = "confirmed by the directory" if record.verified else "unverified"
    click.echo(f"consent {record.state}, level {record.level}, epoch {record.epoch}")
    click.echo(f"given by {giver.admin} ({giver.admin_role}, {confirmed}) on {iso(giver.granted_at)}")
    if withdrawn:
        click.echo(f"withdrawn by {withdrawn.admin} on {iso(withdrawn.changed_at)}")
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
    with running_tenant(settings) as ready:
        record, is_new = operations.provide_consent(ready, admin.strip(), ConsentLevel(level), groups)
    what = "consent recorded" if is_new else "consent is live already; its level and groups are now as given"
    click.echo(f"{what}: level {record.level}, epoch {record.epoch}, history from {record.first_month}")
    if not record.verified:
        click.echo("the administrator's role is recorded as stated (unverified)", err=True)
    click.echo("next: relationship-pipeline backfill")


@consent.command()
@click.option("--admin", required=True, metavar="WHO", help="Who withdraws.")
@click.option("--epoch", "epoch", help="The consent's id, as `consent status` shows it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what will go.")
def withdraw(admin: str, epoch: str | None, yes: bool, dry_run: bool) -> None:
    """Withdraw the consent: nothing more is collected from this moment, and everything is deleted."""
    from relationship_pipeline.erasure.run import what_will_go
    from relationship_pipeline.erasure.run import withdraw as close_fence
    from relationship_pipeline.erasure.steps import count_files
    from relationship_pipeline.publishing.register import list_exports

    settings = data_dir.open_settings()
    record = ControlLedger(settings.layout).current()
    if record is None:
        raise BadInput("there is no consent to withdraw")
    if epoch is not None and epoch != record.epoch:
        raise BadInput(f"epoch {epoch} is not the current one; it is {record.epoch}")
    if record.state is ConsentState.ERASED:
        click.echo(f"epoch {record.epoch} was withdrawn and is erased already; nothing is left to delete")
        return
    for store, counts in sorted(what_will_go(settings.layout, operations.backup_store(settings), record.epoch).items()):
        click.echo(f"  {store}: {counts['files']} files, {counts['bytes']:,} bytes", err=True)
    for what, folder in settings.sources_outside.items():
        click.echo(f"  {what}: {count_files(folder)} files, not ours to delete; see to them yourself", err=True)
    try:
        handed_out = list_exports(settings.layout.epoch(record.epoch).ledger)
    except Refused:
        # whatever is damaged, withdrawing must stay possible
        handed_out = []
        click.echo("  what was exported, and to whom, is not known: the epoch's ledger.sqlite cannot be read", err=True)
    for export in handed_out:
        recipient = f"{export.recipient} ({export.role})" if export.recipient else export.role
        line = f"  handed out on {iso(export.at)}, out of reach: {export.kind} for {recipient}; tell them of the withdrawal"
        click.echo(line, err=True)
    if dry_run:
        click.echo("nothing was changed")
        return
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete all of this (epoch {record.epoch})? It cannot be undone", abort=True, err=True)
    elif not yes or epoch is None:
        raise BadInput(f"without a terminal say --epoch {record.epoch} --yes")
    erasure = close_fence(settings.layout, admin.strip(), record.epoch, datetime.now(UTC))
    click.echo(f"consent withdrawn; nothing more can be collected or published under epoch {record.epoch}")
    click.echo(
        f"deletion is due by {iso(erasure.due_app)}; the sensor does it, or now: relationship-pipeline erase run"
    )


COMMANDS = [consent]
