"""init, dev, backfill, refresh: setting up and running the pipeline."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.resources import files
from types import FrameType

import click

from relationship_pipeline import data_dir
from relationship_pipeline.cli.output import progress
from relationship_pipeline.cli.tenant import running_tenant
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.months import month_of, month_range, parse_month
from relationship_pipeline.durable import put_bytes
from relationship_pipeline.errors import BadInput, PipelineError
from relationship_pipeline.layout import Layout
from relationship_pipeline.settings import Settings

STOP_SECONDS = 20


class MonthType(click.ParamType[str]):
    name = "YYYY-MM"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_month(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--print", "print_only", is_flag=True, help="Only print the commented settings.")
def init(print_only: bool) -> None:
    """Create the data directory and a commented settings.toml."""
    template = (files("relationship_pipeline") / "settings_template.toml").read_bytes()
    if print_only:
        click.echo(template.decode(), nl=False)
        return
    settings = data_dir.open_settings()
    layout = data_dir.prepare(settings)
    if layout.settings_file.exists():
        click.echo(
            f"{layout.settings_file} exists and stays as it is; `relationship-pipeline init --print` shows all settings"
        )
        return
    put_bytes(layout.settings_file, template)
    click.echo(f"wrote {layout.settings_file}\nnext: edit it, then `relationship-pipeline doctor`")


@click.command()
@click.option("--from", "first", type=MonthType(), help="First month.  [default: 12 months before the consent]")
@click.option("--to", "last", type=MonthType(), help="Last month.  [default: the running month]")
def backfill(first: str | None, last: str | None) -> None:
    """Collect months, then derive and publish insights, through Dagster."""
    settings = data_dir.open_settings()
    data_dir.prepare(settings)
    record = ControlLedger(settings.layout).require(Purpose.COLLECT)
    running = month_of(settings.now())
    earliest = data_dir.first_to_collect(settings, record.first_month)
    first, last = first or earliest, last or running
    if first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    if first < earliest or last > running:
        raise BadInput(
            f"{first if first < earliest else last} is outside the collection window: this consent covers {earliest} to {running}"
        )
    with running_tenant(settings) as ready:
        run_months(ready, month_range(first, last))


def run_months(settings: Settings, months: list[str]) -> None:
    """Backfill these months with progress on stderr and a summary on stdout; exit 1 naming what is missing."""
    with progress(len(months)) as report:
        report("starting Dagster")
        from relationship_pipeline.orchestration.run import backfill as run_backfill

        outcome = run_backfill(settings, months, report)
    click.echo(
        f"{len(outcome.landed)} of {len(months)} months landed; insights {'published' if outcome.published else 'not published'}"
    )
    if outcome.failed:
        failed: dict[str, list[str]] = {}
        for what, why in outcome.failed.items():
            failed.setdefault(why, []).append(what)
        raise PipelineError("; ".join(f"{', '.join(names)}: {why}" for why, names in failed.items()))


@click.command()
def refresh() -> None:
    """Read what is new and publish: what the daily schedule runs."""
    from relationship_pipeline import operations

    settings = data_dir.open_settings()
    data_dir.prepare(settings)
    record = ControlLedger(settings.layout).require(Purpose.COLLECT)
    data_dir.first_to_collect(settings, record.first_month)
    months = operations.refresh_months(settings, settings.now())
    with running_tenant(settings) as ready, progress() as report:
        report("starting Dagster")
        from relationship_pipeline.orchestration.run import refresh as run_refresh

        outcome = run_refresh(ready, months, report)
    if outcome.failed:
        raise PipelineError("; ".join(outcome.failed.values()))
    click.echo(f"refreshed {', '.join(months)} and published")


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(0, 65535))
def dev(port: int) -> None:
    """Dagster UI and daemon on loopback, with this data directory's Dagster home, until Ctrl-C or SIGTERM."""
    settings = data_dir.open_settings()
    layout = data_dir.prepare(settings)
    _require_free(port)
    with running_tenant(settings):
        sys.exit(_run_until_stopped(_dagster_dev(layout, port), layout))


def _require_free(port: int) -> None:
    """Raises BadInput for a port that another program holds: Dagster would go on without its UI."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"port {port} cannot be used ({error.strerror}); choose another with --port") from None


def _dagster_dev(layout: Layout, port: int) -> list[str]:
    click.echo(f"Dagster UI: http://127.0.0.1:{port}  (Ctrl-C stops it)", err=True)
    workspace = str(layout.dagster_home / "workspace.yaml")
    return [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", workspace]


class _Stopped(Exception):
    """SIGTERM or Ctrl-C arrived."""


def _run_until_stopped(command: list[str], layout: Layout) -> int:
    """Run a command in a process group of its own; on SIGTERM or Ctrl-C stop the whole group, children's children too."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    # Before the child starts: one that inherited an ignored signal would never stop by it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    environment = {**os.environ, "DAGSTER_HOME": str(layout.dagster_home), "RELATIONSHIP_DATA_DIR": str(layout.root)}
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return child.wait()
    except _Stopped:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        return 0
    finally:
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


COMMANDS = [init, dev, backfill, refresh]
