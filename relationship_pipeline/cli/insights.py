"""role, query, who-knows, evaluate: reading what was published, and measuring whether the score earns its place."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relationship_pipeline import data_dir
from relationship_pipeline.cli.output import json_option, outsiders, print_json
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import BadInput

if TYPE_CHECKING:
    from relationship_pipeline.publishing.who_knows import Answer

GRANTS = ("kpis", "who_knows_whom")


@click.group()
def role() -> None:
    """Who may see what."""


@role.command("list")
@json_option
def role_list(as_json: bool) -> None:
    """Roles and their grants."""
    from relationship_pipeline.publishing.roles import list_roles

    roles = list_roles(ControlLedger(data_dir.open_settings().layout))
    if as_json:
        print_json([{"role": found.name, "grants": list(found.grants)} for found in roles])
        return
    for found in roles:
        click.echo(f"{found.name}: {', '.join(found.grants) or 'nothing'}")


@role.command("grant")
@click.argument("name", metavar="ROLE")
@click.argument("privilege", type=click.Choice(GRANTS))
def role_grant(name: str, privilege: str) -> None:
    """Let a role see these tables; its database is made at once."""
    _change_role(name, privilege, give=True)


@role.command("revoke")
@click.argument("name", metavar="ROLE")
@click.argument("privilege", type=click.Choice(GRANTS))
def role_revoke(name: str, privilege: str) -> None:
    """Take these tables from a role; its database is rebuilt without them at once."""
    _change_role(name, privilege, give=False)


def _change_role(name: str, privilege: str, *, give: bool) -> None:
    from relationship_pipeline import operations

    settings = data_dir.open_settings()
    data_dir.prepare(settings)
    work = operations.Work(settings, lambda line: click.echo(line, err=True))
    found = operations.change_role(work, name, privilege, give=give)
    click.echo(f"{found.name}: {', '.join(found.grants) or 'nothing'}")


@click.command()
@click.argument("sql")
@click.option("--role", "role_name", required=True, help="Whose published database to ask.")
@click.option("--format", "output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def query(sql: str, role_name: str, output: str) -> None:
    """One read-only SQL statement on a role's published database."""
    from relationship_pipeline.publishing.formats import Format
    from relationship_pipeline.publishing.query import query as run_query

    run_query(data_dir.open_settings().layout, sql, role_name, Format(output), sys.stdout.write)


@click.command()
@click.option("--messages", type=click.Path(path_type=Path), help="Parquet of message_id, sent_at, sender, recipients.")
@click.option("--internal-domain", "domains", multiple=True, metavar="D", help="Inside domain (and its sub-domains).")
@click.option("--cuts", help="Comma-separated dates.  [default: every 30 days]")
@click.option(
    "--pairs", "pairs_path", type=click.Path(path_type=Path), help="Also write every pair's scores as Parquet."
)
@json_option
def evaluate(
    messages: Path | None, domains: tuple[str, ...], cuts: str | None, pairs_path: Path | None, as_json: bool
) -> None:
    """How well strength predicts next month's contact, and health silence."""
    from rich.console import Console

    from relationship_pipeline.insights.evaluate import as_json_text, evaluate_messages
    from relationship_pipeline.insights.evaluation_table import evaluation_table

    instants = _instants(cuts) if cuts else None

    def progress(done: int, of: int) -> None:
        click.echo(f"cut {done} of {of}", err=True)

    if messages is not None:
        result = evaluate_messages(
            messages, internal_domains=domains, cuts=instants, pairs_path=pairs_path, progress=progress
        )
    else:
        from relationship_pipeline import operations

        work = operations.Work(data_dir.open_settings(), lambda line: click.echo(line, err=True))
        result = operations.evaluate_lake(work, domains, instants, pairs_path, progress)
    if as_json:
        click.echo(as_json_text(result))
    else:
        Console().print(evaluation_table(result))


def _instants(text: str) -> list[datetime]:
    instants = []
    for part in text.split(","):
        try:
            instant = datetime.fromisoformat(part.strip())
        except ValueError:
            raise BadInput(f"--cuts: {part.strip()!r} is not a date; write 2026-03-31,2026-04-30") from None
        instants.append(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    return instants


@click.command("who-knows")
@click.argument("looked_up", metavar="ADDRESS_OR_DOMAIN")
@click.option("--role", "role_name", default="salesperson", show_default=True, help="Who asks.")
@click.option("--from", "colleague", metavar="COLLEAGUE", help="Also show paths from this colleague through another.")
@click.option("--purpose", help="Why you ask; kept with the look-up (V5).")
@click.option("--draft-introduction", is_flag=True, help="Print a draft request to the strongest introducer.")
@click.option("--eml", "eml", type=click.Path(path_type=Path), help="Write the draft as a mail file instead.")
@json_option
def who_knows(
    looked_up: str,
    role_name: str,
    colleague: str | None,
    purpose: str | None,
    draft_introduction: bool,
    eml: Path | None,
    as_json: bool,
) -> None:
    """Who can introduce me: the colleagues with the strongest tie, with reasons."""
    from relationship_pipeline.publishing import introduction
    from relationship_pipeline.publishing.who_knows import who_knows as look_up

    layout = data_dir.open_settings().layout
    answer = look_up(layout, looked_up, role_name, from_colleague=colleague, purpose=purpose)
    if draft_introduction or eml is not None:
        draft = introduction.draft_introduction(answer, purpose=purpose)
        if eml is not None:
            eml.write_bytes(introduction.as_eml(draft))
            click.echo(f"wrote {eml}; nothing was sent", err=True)
        else:
            click.echo(introduction.as_text(draft))
    elif as_json:
        print_json(asdict(answer))
    else:
        show_answer(answer)


def show_answer(answer: Answer) -> None:
    """Introducers, then paths, as tables for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    about = f"{answer.name} ({answer.looked_up})" if answer.name else answer.looked_up
    if not answer.introducers:
        console.print(outsiders(f"Nobody has a tie to {about} that is shown."))
    else:
        table = Table(title=outsiders(f"Who knows {about}?"), title_justify="left", header_style="bold")
        for column in ("", "colleague", "strength", "last", "why"):
            table.add_column(column, overflow="fold")
        for found in answer.introducers:
            table.add_row(
                str(found.rank),
                outsiders(f"{found.colleague_name or ''} {found.colleague_email}".strip()),
                f"{found.strength} {found.band}",
                f"{found.last_interaction_at:%Y-%m-%d}",
                outsiders(found.reasons),
            )
        console.print(table)
    for path in answer.paths:
        console.print(
            outsiders(
                f"you -> {path.colleague_name or path.colleague_email} ({path.first_strength}) -> {answer.looked_up} "
                f"({path.second_strength}): {path.strength:.0f}"
            )
        )
    if answer.from_colleague is not None and not answer.paths:
        console.print("No path through one other colleague with both ties at least 40.", highlight=False)


COMMANDS = [role, query, who_knows, evaluate]
