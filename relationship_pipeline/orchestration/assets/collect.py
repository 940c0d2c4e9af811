"""The assets that read the company's sources: directory, CRM files, and the monthly email and meeting metadata."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.errors import BadInput, PipelineError, TryAgain
from relationship_pipeline.operations import Work
from relationship_pipeline.orchestration.checks import EMAIL_CHECKS, email_checks
from relationship_pipeline.orchestration.guard import guarded, one_line
from relationship_pipeline.orchestration.metadata import month_metadata
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    from relationship_pipeline.lake.manifest import Manifest

OWNERS = ["team:data-platform"]

# Each month is fetched, fails and is retried alone; throttling and network faults are worth a second try.
EACH_MONTH_ALONE = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
TRY_AGAIN = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def materialize_months(
    context: dg.AssetExecutionContext,
    settings: Settings,
    work_on: Callable[[Work, str], "Manifest"],
    schema: str | None = None,
) -> dict[str, "Manifest"]:
    """Do the months of this run one by one; a month that fails does not stop the others, but fails the run at its end.
    `schema` names the table's schema in schemas.py, for the catalog."""
    from relationship_pipeline import schemas

    if not context.has_partition_key and not context.has_partition_key_range:
        raise BadInput(
            "this run names no month: choose the partitions to collect, or run `relationship-pipeline refresh`"
        )
    work = Work(settings, context.log.info)
    done: dict[str, Manifest] = {}
    failed: dict[str, Exception] = {}
    for month in context.partition_keys:
        try:
            manifest = work_on(work, month)
        except Exception as error:
            failed[month] = error
            continue
        done[month] = manifest
        metadata = month_metadata(manifest, getattr(schemas, schema) if schema else None)
        context.add_asset_metadata(metadata, partition_key=month)
    if failed:
        retry = any(isinstance(error, TryAgain) for error in failed.values())
        lines = "; ".join(f"{month}: {one_line(error)}" for month, error in failed.items())
        raise (TryAgain if retry else PipelineError)(lines)
    return done


def collect_assets(settings: Settings, months: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    @dg.asset(group_name="collect", kinds={"parquet"}, owners=OWNERS)
    def directory(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Users of the tenant with every address they have, internal domains and members of the opt-out and scope
        groups, as of now. Decides whose mailbox may be read and who is a colleague; read again by every collection."""
        manifest = guarded(settings, lambda: operations.read_directory(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata={"dagster/row_count": manifest.rows, "epoch": manifest.epoch})

    @dg.asset(group_name="collect", kinds={"csv", "parquet"}, owners=OWNERS)
    def crm_records(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Accounts, contacts, leads, opportunities, stakeholders and phone calls from the CRM folder, where there is
        one; without it accounts come from mail domains."""
        counts = guarded(settings, lambda: operations.read_crm(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata={"dagster/row_count": sum(counts.values()), **counts})

    @dg.asset(
        partitions_def=months,
        deps=[directory],
        group_name="collect",
        kinds={"exchange", "parquet"},
        owners=OWNERS,
        backfill_policy=EACH_MONTH_ALONE,
        retry_policy=TRY_AGAIN,
        check_specs=EMAIL_CHECKS,
    )
    def email_metadata(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One row for each copy of an email received in the month: keys, times, sender, recipients, mailbox and folder
        class; never subject or body. The base of every count; nobody queries it directly (V2)."""
        done = guarded(settings, lambda: materialize_months(context, settings, operations.collect_emails, "EMAIL"))
        return dg.MaterializeResult(check_results=email_checks(done))

    @dg.asset(
        partitions_def=months,
        deps=[directory],
        group_name="collect",
        kinds={"exchange", "parquet"},
        owners=OWNERS,
        backfill_policy=EACH_MONTH_ALONE,
        retry_policy=TRY_AGAIN,
    )
    def meeting_metadata(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One row for each copy of a meeting that starts in the month: organizer, attendees with their answers, start
        and end; never title, text or place. Private meetings are left out by default (B6)."""
        guarded(settings, lambda: materialize_months(context, settings, operations.collect_meetings, "MEETINGS"))
        return dg.MaterializeResult()

    @dg.asset(
        deps=[directory], group_name="collect", kinds={"exchange", "parquet"}, owners=OWNERS, retry_policy=TRY_AGAIN
    )
    def planned_meetings(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Meetings of the 92 days after the running month, replaced at each refresh (B4); `next_meeting_at` comes from
        them."""
        manifest = guarded(settings, lambda: operations.collect_planned_meetings(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata={"dagster/row_count": manifest.rows, "epoch": manifest.epoch})

    return [directory, crm_records, email_metadata, meeting_metadata, planned_meetings]
