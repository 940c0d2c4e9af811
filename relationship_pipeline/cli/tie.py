"""tie: hiding a tie of who knows whom, or marking it wrong (K7)."""

from __future__ import annotations

from dataclasses import asdict

import click

from relationship_pipeline import operations
from relationship_pipeline.cli.output import iso, json_option, print_json
from relationship_pipeline.cli.work import open_work
from relationship_pipeline.consent.tie_marks import TieReason

record_argument = click.argument("record", metavar="CONTACT_OR_COMPANY")
colleague_argument = click.argument("colleague")


@click.group()
def tie() -> None:
    """Hide a tie of who knows whom, or mark it wrong."""


@tie.command()
@record_argument
@colleague_argument
@click.option(
    "--reason",
    type=click.Choice([reason.value for reason in TieReason]),
    default=TieReason.HIDDEN.value,
    show_default=True,
    help="hidden: nobody shall see it; wrong: there is no such tie.",
)
@click.option("--by", metavar="COLLEAGUE", help="Who asked for it.  [default: the administrator]")
def hide(record: str, colleague: str, reason: str, by: str | None) -> None:
    """No longer show COLLEAGUE's tie to a contact, to a company and all its contacts, or to another colleague."""
    operations.hide_tie(open_work(), record, colleague, TieReason(reason), by=by)
    click.echo(f"not shown any more ({reason}); `relationship-pipeline tie show` takes it back")


@tie.command()
@record_argument
@colleague_argument
def show(record: str, colleague: str) -> None:
    """Show a hidden tie again."""
    if operations.show_tie(open_work(), record, colleague):
        click.echo("shown again")
    else:
        click.echo("that tie was not hidden; `relationship-pipeline tie list` names those that are")


@tie.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The ties that are hidden or marked wrong."""
    found = operations.hidden_ties(open_work())
    if as_json:
        print_json([asdict(mark) for mark in found])
        return
    for mark in found:
        click.echo(f"{mark.record}  {mark.colleague}  {mark.reason}  {iso(mark.made_at)}  by {mark.made_by}")
    if not found:
        click.echo("no tie is hidden")


COMMANDS = [tie]
