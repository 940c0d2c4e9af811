"""Two runs that read the same month at once, as a schedule and a person may start them: nothing is lost (B8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relationship_pipeline import operations
from relationship_pipeline.data_dir import prepare
from relationship_pipeline.domain.consent import ConsentLevel
from relationship_pipeline.errors import PipelineError
from relationship_pipeline.operations import Work
from relationship_pipeline.settings import load_settings
from relationship_pipeline_tests.operations.company import quiet
from relationship_pipeline_tests.sources.graph.scripted import mailbox_of, scripted_graph

MONTH = "2026-03"


def test_b8_a_run_does_not_read_a_month_that_another_run_is_reading(tmp_path: Path) -> None:
    with scripted_graph(tmp_path) as (graph, graph_settings):
        settings = load_settings(
            data_dir=tmp_path / "data", source="graph", graph=graph_settings, as_of="2026-06-01", threads=1
        )
        everyone = [letter * 36 for letter in "abcd"]
        graph.mailboxes = {mailbox: mailbox_of(100) for mailbox in everyone}
        for mailbox, rows in graph.mailboxes.items():
            for row in rows:
                row["id"] = row["internetMessageId"] = f"{mailbox[0]}-{row['id']}"
        users = [{"id": mailbox, "userPrincipalName": f"{mailbox[0]}@contoso.com"} for mailbox in everyone]
        graph.collections = {
            "users": users,
            "domains": [{"id": "contoso.com", "isVerified": True}],
            "directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members": users,
        }
        prepare(settings)
        operations.provide_consent(settings, "a@contoso.com", ConsentLevel.IDENTIFIABLE, ())
        refusals: list[str] = []

        def read_beside(line: str) -> None:
            if line.startswith("mail of") and not refusals:
                with ThreadPoolExecutor(1) as thread:
                    try:
                        thread.submit(operations.collect_emails, Work(settings, quiet), MONTH).result()
                    except PipelineError as error:
                        refusals.append(str(error))

        manifest = operations.collect_emails(Work(settings, read_beside), MONTH)
        assert manifest.rows == 400 and manifest.quality["status"] == "complete"
        assert refusals == [f"another run is working on email of {MONTH}; wait for it to end and run this again"]
        assert operations.collect_emails(Work(settings, quiet), MONTH).content_id == manifest.content_id
