"""erase, backups, export person: deleting, proving it, and what is held about somebody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from relationship_pipeline import data_dir, operations
from relationship_pipeline.cli.output import json_option, print_json
from relationship_pipeline.cli.work import open_work
from relationship_pipeline.domain.erasure import Alert
from relationship_pipeline.errors import BadInput, PipelineError, Refused


@click.group()
def erase() -> None:
    """Delete after a withdrawal, or one person; verify; certificates."""


@erase.command("run")
def run_() -> None:
    """Start or resume the deletion; exit 0 once it is verified and certified."""
    from relationship_pipeline.orchestration.erasing import erase_with_dagster

    settings = data_dir.open_settings()
    states = erase_with_dagster(settings)
    for epoch, state in states.items():
        click.echo(f"epoch {epoch}: {state}")
    if not all(operations.is_erased_state(state) for state in states.values()):
        raise PipelineError("the deletion is not finished; `relationship-pipeline erase status` says what blocks it")


@erase.command()
@json_option
@click.option("--check", is_flag=True, help="Exit 1 when overdue or at risk.")
def status(as_json: bool, check: bool) -> None:
    """Where the deletion stands and when it is due."""
    from relationship_pipeline.erasure.run import erasure_status

    settings = data_dir.open_settings()
    found = erasure_status(settings.layout, datetime.now(UTC)) if settings.layout.control_ledger.exists() else None
    if as_json:
        print_json(found)
    elif found is None:
        click.echo("nothing was withdrawn")
    else:
        click.echo(f"epoch {found['epoch']}: {found['state']}, requested {found['requested_at']}")
        click.echo(f"data gone by {found['due_app']}, backups by {found['due_backup']}")
        if found["blocked"]:
            click.echo(f"waits: {found['blocked']}")
    if check and found is not None and operations.deletion_alert(settings) >= Alert.WARNING:
        raise PipelineError("a deletion is overdue or at risk; run `relationship-pipeline erase run`")


@erase.command()
@json_option
def verify(as_json: bool) -> None:
    """Scan what is left, by the independent scanner; exit 1 when anything personal is found."""
    from relationship_pipeline.erasure.run import erasure_status, verify_now

    settings = data_dir.open_settings()
    found = erasure_status(settings.layout, datetime.now(UTC))
    if found is None:
        raise Refused("nothing was withdrawn, so there is nothing to verify")
    result = verify_now(operations.deletion(settings, epoch=found["epoch"]))
    findings = result["findings"]
    if as_json:
        print_json(result)
    else:
        for finding in findings:
            click.echo(f"{finding['kind']}: {finding['path']}")
        click.echo(f"{len(findings)} findings")
    if findings:
        raise PipelineError("the scan found something that should be gone")


@erase.command()
@click.option("--verify", "path", type=click.Path(path_type=Path), help="Verify this certificate, offline.")
def certificate(path: Path | None) -> None:
    """The newest certificate, or whether one is genuine and whole."""
    from relationship_pipeline.erasure.certificate import verify_certificate

    if path is not None:
        facts = verify_certificate(path)
        click.echo(f"genuine and whole: certificate {facts['number']} of epoch {facts['epoch']}")
        click.echo(f"signed by the key {facts['public_key']}: compare it with control/certificate_key.pub")
        return
    folder = data_dir.open_settings().layout.certificates
    newest = max(folder.glob("*.json"), default=None, key=lambda found: found.name) if folder.is_dir() else None
    if newest is None:
        raise BadInput("there is no certificate yet; a deletion writes one when it is verified")
    click.echo(newest.read_text(encoding="utf-8"))


@erase.command()
@click.argument("address")
@click.option("--scope", type=click.Choice(["mailbox", "everywhere"]), default="mailbox", show_default=True)
def person(address: str, scope: str) -> None:
    """Erase one person: their mailbox, or with `everywhere` their address from all others' copies too."""
    click.echo(operations.erase_person(open_work(), address, everywhere=scope == "everywhere"))


@click.group()
def backups() -> None:
    """Sealed backups."""


@backups.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Put a backup's months back, without what was opted out or erased since; then run `refresh`."""
    counts = operations.restore_backup(open_work(), file)
    click.echo(
        f"{counts['folders']} tables and months restored, {counts['rows']:,} rows; next: relationship-pipeline refresh"
    )


@click.group()
def export() -> None:
    """Subject access and the contact graph."""


@export.command("person")
@click.argument("address")
def export_person(address: str) -> None:
    """All that is held about one address, as JSON on stdout."""
    print_json(operations.export_person(open_work(), address))


@export.command("graph")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--role", "role_name", default="salesperson", show_default=True)
@click.option("--recipient", help="Who gets the file; registered for the notice on withdrawal.")
def export_graph(file: Path, role_name: str, recipient: str | None) -> None:
    """The contact graph: FILE.graphml, or FILE.parquet (the edges) with FILE.nodes.parquet beside it."""
    from relationship_pipeline.publishing.export import export_graph as write_graph
    from relationship_pipeline.publishing.export import nodes_file

    counts = write_graph(data_dir.open_settings().layout, file, role_name, recipient=recipient)
    files = f"{nodes_file(file)} and {file}" if file.suffix.lower() == ".parquet" else str(file)
    click.echo(f"wrote {counts['nodes']:,} nodes and {counts['edges']:,} edges to {files}")


COMMANDS = [erase, backups, export]
