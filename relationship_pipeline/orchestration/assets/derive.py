"""The assets that turn months of metadata into KPIs, health and ties. Pure computation: no source is read here."""

from collections.abc import Callable, Mapping

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.operations import Work
from relationship_pipeline.orchestration.assets.collect import EACH_MONTH_ALONE, OWNERS, materialize_months
from relationship_pipeline.orchestration.guard import guarded
from relationship_pipeline.settings import Settings


def _build(
    context: dg.AssetExecutionContext, settings: Settings, build: Callable[[Work], Mapping[str, int]]
) -> dg.MaterializeResult:
    """Build some 12-month tables; metadata is their row counts."""
    rows = guarded(settings, lambda: build(Work(settings, context.log.info)))
    return dg.MaterializeResult(metadata={"dagster/row_count": sum(rows.values()), **rows})


def derive_assets(settings: Settings, months: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    @dg.asset(
        partitions_def=months,
        deps=["email_metadata", "meeting_metadata", "directory", "crm_records"],
        group_name="derive",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        backfill_policy=EACH_MONTH_ALONE,
    )
    def interactions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The month's emails and meetings between colleagues and outside contacts, compacted to pairs, days, replies
        and conversations: what every 12-month number is one aggregation of."""
        guarded(settings, lambda: materialize_months(context, settings, operations.derive_interactions))
        return dg.MaterializeResult()

    @dg.asset(deps=[interactions, "planned_meetings"], group_name="derive", kinds={"duckdb"}, owners=OWNERS)
    def relationship_kpis(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """KPIs of the 12 months before `as_of` for each contact, account, opportunity and lead: emails, meetings, calls,
        replies, response times, time spent, first and last interaction, daily activity."""
        return _build(context, settings, operations.build_kpis)

    @dg.asset(deps=[relationship_kpis], group_name="derive", kinds={"duckdb"}, owners=OWNERS)
    def relationship_health(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """A health score of 0 to 100 with its parts, reasons, state and trend for each relationship, and alerts."""
        return _build(context, settings, operations.build_health)

    @dg.asset(deps=[interactions], group_name="derive", kinds={"duckdb"}, owners=OWNERS)
    def who_knows_whom(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """For each outside contact and company the up to five colleagues with the strongest tie, with reasons. Readable
        by roles with the who_knows_whom grant only (V1)."""
        return _build(context, settings, operations.build_who_knows_whom)

    @dg.asset(deps=[who_knows_whom], group_name="derive", kinds={"duckdb"}, owners=OWNERS)
    def contact_graph(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The contact graph: nodes for colleagues and contacts, edges between them and among colleagues."""
        return _build(context, settings, operations.build_contact_graph)

    return [interactions, relationship_kpis, relationship_health, who_knows_whom, contact_graph]
