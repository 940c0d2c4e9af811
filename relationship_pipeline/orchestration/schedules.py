"""The one schedule. Dagster drops missed ticks (dagster.md 0.1), so the months due are worked out from what landed."""

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.settings import Settings

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def range_tags(months: list[str]) -> dict[str, str]:
    """Run tags for one run over consecutive months."""
    return {RANGE_START: months[0], RANGE_END: months[-1]}


def daily_refresh_schedule(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="daily_refresh_schedule",
        job_name="daily_refresh",
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every day at 02:00 UTC: one run over the months that are due.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = settings.as_of or context.scheduled_execution_time
        due = operations.refresh_months(settings, now)
        if not due:
            return dg.SkipReason("no consent: nothing may be collected")
        return dg.RunRequest(tags=range_tags(due))

    return schedule
