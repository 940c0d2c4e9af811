"""doctor: what works, what does not, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from relationship_pipeline import data_dir
from relationship_pipeline.cli.output import json_option, print_json
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.operations.doctor import Verdict, examine


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check licences, permissions, mailboxes, disk and DuckDB before anything is read."""
    findings = examine(data_dir.open_settings())
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            click.echo(f"{finding.verdict:<12} {finding.check:<{width}}  {finding.advice}")
    if failed:
        raise PipelineError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(f.check for f in failed)}")


COMMANDS = [doctor]
