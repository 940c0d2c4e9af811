"""role, query, who-knows, evaluate: reading what was published, and measuring whether the score earns its place."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relationship_pipeline import data_dir, operations
from relationship_pipeline.cli.output import json_option, print_json
from relationship_pipeline.cli.work import open_work
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import BadInput

if TYPE_CHECKING:
    from relationship_pipeline.publishing.who_knows import Answer, Introducer, WarmPath

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
    settings = data_dir.open_settings()
    data_dir.prepare(settings)
    found = operations.change_role(open_work(settings), name, privilege, give=give)
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

    instants = _instants(cuts) if cuts is not None else None
    if pairs_path is not None and not pairs_path.parent.is_dir():
        raise BadInput("--pairs: the folder to write to does not exist; make it first")

    def progress(done: int, of: int) -> None:
        click.echo(f"cut {done} of {of}", err=True)

    if messages is not None:
        result = evaluate_messages(
            messages, internal_domains=domains, cuts=instants, pairs_path=pairs_path, progress=progress
        )
    else:
        result = operations.evaluate_lake(open_work(), domains, instants, pairs_path, progress)
    if as_json:
        click.echo(as_json_text(result), nl=False)
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
@click.option(
    "--eml", "eml", type=click.Path(path_type=Path, dir_okay=False), help="Write the draft as a mail file instead."
)
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
    from relationship_pipeline.insights.accounts import free_mail_domains
    from relationship_pipeline.publishing import introduction
    from relationship_pipeline.publishing.who_knows import who_knows as look_up

    if eml is not None and not eml.parent.is_dir():
        raise BadInput("--eml: the folder to write to does not exist; make it first")
    settings = data_dir.open_settings()
    answer = look_up(
        settings.layout,
        looked_up,
        role_name,
        from_colleague=colleague,
        purpose=purpose,
        free_mail=free_mail_domains(settings.free_mail_domains),
    )
    wants_draft = draft_introduction or eml is not None
    draft = introduction.draft_introduction(answer, purpose=purpose) if wants_draft else None
    if draft is not None and eml is not None:
        try:
            eml.write_bytes(introduction.as_eml(draft))
        except OSError as error:
            raise BadInput(f"--eml: the file cannot be written: {error.strerror}") from None
        click.echo(f"wrote {eml}; nothing was sent", err=True)
    if as_json:
        print_json(asdict(answer) | ({"draft": asdict(draft)} if draft is not None else {}))
    elif draft is None:
        show_answer(answer)
    elif eml is None:
        click.echo(introduction.as_text(draft))


def show_answer(answer: Answer) -> None:
    """Introducers, then paths, for people: an address stands whole on one line, so that it can be copied."""
    if not answer.introducers:
        _show(f"Nobody has a tie to {answer.about} that is shown.")
    else:
        _show(f"Who knows {answer.about}?", bold=True)
    for found in answer.introducers:
        _show(f"{found.rank}. {_named(found)}: {found.strength}, {found.band}")
        _show(f"   last {found.last_interaction_at:%Y-%m-%d}; {found.reasons}")
    if answer.from_colleague is None:
        return
    click.echo()
    _show(f"Paths from {answer.from_name or answer.from_colleague}", bold=True)
    for path in answer.paths:
        legs = f"tie to you {path.first_strength}, to them {path.second_strength}"
        _show(f"{path.strength:3.0f}  over {_named(path)} ({legs})")
    if not answer.paths:
        _show("none through one other colleague")


def _named(one: Introducer | WarmPath) -> str:
    return f"{one.colleague_name} <{one.colleague_email}>" if one.colleague_name else one.colleague_email


def _show(line: str, *, bold: bool = False) -> None:
    from relationship_pipeline.publishing.formats import visible

    click.echo(click.style(visible(line), bold=bold or None))


COMMANDS = [role, query, who_knows, evaluate]
