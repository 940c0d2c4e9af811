"""The assets people read from: one database and one report a role, and the sealed backups of them."""

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.operations import Work
from relationship_pipeline.orchestration.assets.collect import OWNERS
from relationship_pipeline.orchestration.guard import guarded
from relationship_pipeline.settings import Settings

PUBLISH_POOL = "publish"
"""Makes waiting visible in the UI; what orders publishers is a lock (publishing/publish.py)."""


def publish_assets(settings: Settings, pool: str | None) -> list[dg.AssetsDefinition]:
    @dg.asset(
        deps=["relationship_kpis", "relationship_health", "who_knows_whom", "contact_graph"],
        group_name="publish",
        kinds={"duckdb"},
        owners=OWNERS,
        pool=pool,
    )
    def published_insights(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One read-only DuckDB database a role, holding only what that role may see (V1, V2); swapped whole, so a
        reader never sees a half-built one. Sellers, managers and analysts query these."""
        counts = guarded(settings, lambda: operations.publish(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata={"dagster/row_count": sum(counts.values()), **counts})

    @dg.asset(deps=[published_insights], group_name="publish", kinds={"html"}, owners=OWNERS, pool=pool)
    def insights_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One self-contained page a role: the portfolio by health, who is going quiet, top accounts, batch quality."""
        pages = guarded(settings, lambda: operations.build_report(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata={"pages": len(pages), "below": "published/<role>.html"})

    @dg.asset(deps=[published_insights], group_name="protect", kinds={"aes256"}, owners=OWNERS)
    def backups(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """A sealed copy of what the lake has committed, unreadable once the epoch's key is gone, and removed after 30
        days at most (W2). Months that left the window a month ago leave the lake first (B1)."""
        metadata = guarded(settings, lambda: operations.make_backup(Work(settings, context.log.info)))
        return dg.MaterializeResult(metadata=metadata)

    return [published_insights, insights_report, backups]
