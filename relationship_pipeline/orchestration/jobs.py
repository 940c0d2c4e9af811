"""Asset jobs. Deletion jobs, whose runs must outlive what they delete, are in protect.py."""

from __future__ import annotations

import dagster as dg

MONTHLY = ["email_metadata", "meeting_metadata", "interactions"]
DERIVED = ["relationship_kpis", "relationship_health", "who_knows_whom", "contact_graph"]
PUBLISHED = ["published_insights", "insights_report"]
REFRESHED = ["directory", "crm_records", "planned_meetings", *MONTHLY, *DERIVED, *PUBLISHED, "backups"]


def asset_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    return [
        dg.define_asset_job(
            "read_sources",
            selection=_assets("directory", "crm_records", "planned_meetings"),
            description="Read what has no months: the directory, the CRM files and the meetings ahead.",
        ),
        dg.define_asset_job(
            "daily_refresh",
            selection=_assets(*REFRESHED),
            description="Read what is new in the months that are due, then derive and publish once (B3).",
        ),
        dg.define_asset_job(
            "backfill_year",
            selection=_assets(*MONTHLY),
            description="Collect months and derive their interactions. `build_insights` publishes.",
        ),
        dg.define_asset_job(
            "build_insights",
            selection=_assets(*DERIVED, *PUBLISHED),
            description="Derive and publish from the months that exist; missing ones are marked partial.",
        ),
    ]


def _assets(*names: str) -> dg.AssetSelection:
    """These assets by key. As plain text Dagster would parse each as a selection query and load a parser for it, which is
    a tenth of the time that the code location takes to import (performance.md P9)."""
    return dg.AssetSelection.assets(*names)
