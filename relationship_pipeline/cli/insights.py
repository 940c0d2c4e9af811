"""role, query, who-knows, evaluate: reading what was published, and measuring whether the score earns its place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from relationship_pipeline import data_dir
from relationship_pipeline.cli.output import json_option, print_json
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.errors import BadInput

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

    stdout = click.get_text_stream("stdout")
    run_query(data_dir.open_settings().layout, sql, role_name, Format(output), stdout.write)


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
    from relationship_pipeline.cli.evaluation import show
    from relationship_pipeline.insights.evaluate import as_json_text, evaluate_messages

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
        show(result)


def _instants(text: str) -> list[datetime]:
    instants = []
    for part in text.split(","):
        try:
            instant = datetime.fromisoformat(part.strip())
        except ValueError:
            raise BadInput(f"--cuts: {part.strip()!r} is not a date; write 2026-03-31,2026-04-30") from None
        instants.append(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    return instants


COMMANDS = [role, query, evaluate]
