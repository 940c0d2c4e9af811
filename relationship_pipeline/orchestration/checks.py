"""Asset checks from the quality record (B9): what a batch lost, and why, is a failed check and never silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from relationship_pipeline.lake.manifest import Manifest

EMAIL_CHECKS = [
    dg.AssetCheckSpec("within_batch_cap", asset="email_metadata", description="B2: no email was left out by the cap."),
    dg.AssetCheckSpec(
        "complete", asset="email_metadata", description="Every expected mailbox was read whole and nothing is partial."
    ),
    dg.AssetCheckSpec(
        "every_copy_accounted_for",
        asset="email_metadata",
        description="B9: copies read = distinct + duplicates + dropped + left out by the cap.",
    ),
]


def email_checks(months: Mapping[str, Manifest]) -> list[dg.AssetCheckResult]:
    """One result a check over the months of this run; metadata names the months that fail it."""
    qualities = {month: manifest.quality for month, manifest in months.items()}
    return [
        _result(
            "within_batch_cap",
            {month: quality["left_out_by_cap"] for month, quality in qualities.items() if quality["left_out_by_cap"]},
            dg.AssetCheckSeverity.WARN,
        ),
        _result(
            "complete",
            {
                month: ", ".join(quality["partial_reasons"])
                for month, quality in qualities.items()
                if len(quality["partial_reasons"]) > bool(quality["left_out_by_cap"])
            },
            dg.AssetCheckSeverity.WARN,
        ),
        _result(
            "every_copy_accounted_for",
            {month: gap for month, quality in qualities.items() if (gap := unaccounted(quality))},
            dg.AssetCheckSeverity.ERROR,
        ),
    ]


def unaccounted(quality: Mapping[str, Any]) -> int:
    """Copies that the quality record's equation (interfaces.md 6) leaves unexplained; 0 when all is well."""
    counted = sum(quality[name] for name in ("distinct_emails", "duplicates", "left_out_copies"))
    return quality["copies_read"] - counted - sum(quality["dropped"].values())


def _result(name: str, failing: Mapping[str, object], severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key="email_metadata",
        passed=not failing,
        severity=severity,
        metadata={month: str(value) for month, value in failing.items()},
    )
