"""demo: a simulated tenant from consent to published insights, then a summary and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from relationship_pipeline import data_dir, operations
from relationship_pipeline.cli.output import outsiders
from relationship_pipeline.cli.run import run_months
from relationship_pipeline.cli.tenant import running_tenant
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import LIVE_STATES, ConsentLevel
from relationship_pipeline.domain.months import MONTHS_OF_HISTORY, add_months, month_of, month_range
from relationship_pipeline.errors import BadInput
from relationship_pipeline.publishing.connection import current_epoch, open_published
from relationship_pipeline.settings import Settings, SourceKind
from relationship_pipeline.sources.demo import DemoTenant, administrator, read_demo, write_demo


@click.command()
@click.option("--users", default=60, show_default=True, type=click.IntRange(3, 5_000), help="People in the tenant.")
@click.option("--months", default=MONTHS_OF_HISTORY, show_default=True, type=click.IntRange(1, MONTHS_OF_HISTORY))
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0))
def demo(users: int, months: int, seed: int) -> None:
    """Try everything on a simulated tenant: consent, 12 monthly batches, insights, published databases."""
    settings = data_dir.open_settings(source=SourceKind.DEMO)
    click.echo(f"demo tenant of {users} people in {settings.data_dir} …", err=True)
    data_dir.prepare(settings)
    ledger = ControlLedger(settings.layout)
    tenant = _tenant(settings, ledger, users, months, seed)
    settings = data_dir.open_settings(source=SourceKind.DEMO)
    running = month_of(tenant.as_of)
    with running_tenant(settings) as ready:
        record = ledger.current()
        if record is None or record.state not in LIVE_STATES:
            operations.provide_consent(ready, administrator(tenant), ConsentLevel.IDENTIFIABLE, ())
        run_months(ready, month_range(add_months(running, -tenant.months), running))
    show_summary(settings)


def _tenant(settings: Settings, ledger: ControlLedger, users: int, months: int, seed: int) -> DemoTenant:
    """The tenant of this directory: the one it holds, or a new one that lives at the start of today."""
    known = read_demo(settings.layout.demo)
    if known is None:
        if ledger.current() is not None:
            raise BadInput(
                "this data directory holds another source's data; set RELATIONSHIP_DATA_DIR to a folder of the demo's own"
            )
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        known = DemoTenant(users=users, months=months, seed=seed, as_of=settings.as_of or today)
        write_demo(settings.layout.demo, known)
    elif (known.users, known.months, known.seed) != (users, months, seed):
        raise BadInput(
            f"this data directory holds the demo of --users {known.users} --months {known.months} --seed {known.seed}; "
            "run that, or set RELATIONSHIP_DATA_DIR to another folder"
        )
    return known


def show_summary(settings: Settings) -> None:
    """Batches, busiest accounts, health and one who-knows-whom answer, as a sales manager sees them."""
    console = Console()
    with open_published(current_epoch(settings.layout), "sales_manager") as connection:

        def rows(sql: str) -> list[dict[str, Any]]:
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        _print(
            console,
            "Batches",
            rows(
                "select month, copies_read, distinct_emails as emails, duplicates, dropped, status from batches order by month"
            ),
        )
        _print(
            console,
            "Busiest accounts",
            rows(
                "select account_name, contacts, emails_sent, emails_received, meetings_sent + meetings_received as meetings, "
                "last_interaction_at::date as last_interaction from account_kpis "
                "order by emails_sent + emails_received desc, account_id limit 8"
            ),
        )
        _print(
            console,
            "Relationship health",
            rows(
                "select health_state, count(*) as contacts from contact_kpis "
                "group by health_state order by contacts desc, health_state"
            ),
        )
        answer = rows(
            "select contact_email, rank, colleague_name, strength, band, reasons from who_knows_whom where contact_email = "
            "(select contact_email from who_knows_whom group by contact_email "
            "order by count(*) desc, sum(strength) desc, contact_email limit 1) "
            "order by rank"
        )
        if answer:
            contact = answer[0].pop("contact_email")
            for row in answer[1:]:
                row.pop("contact_email")
            _print(console, f"Who knows {contact}?", answer)
    console.print("[bold]What next[/bold]")
    for line in (
        "relationship-pipeline dev                      the same runs, partitions and checks in the Dagster UI",
        'relationship-pipeline query --role salesperson "select * from contact_kpis limit 5"',
        f"relationship-pipeline who-knows {contact if answer else 'ADDRESS'}",
        f"open {settings.layout.published / 'sales_manager.html'}",
        "relationship-pipeline consent withdraw --admin WHO     and everything above is gone, provably",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def _print(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(title=outsiders(title), title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        table.add_row(
            *(
                f"{value:,}" if isinstance(value, int) else "" if value is None else outsiders(value)
                for value in row.values()
            )
        )
    console.print(table)
    console.print()


COMMANDS = [demo]
