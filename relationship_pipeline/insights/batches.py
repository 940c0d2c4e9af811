"""The published record of each month's reading (B9), from the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relationship_pipeline.insights.window import Window
from relationship_pipeline.schemas import PUBLISHED

if TYPE_CHECKING:
    import pyarrow as pa


def month_records(window: Window) -> pa.Table:
    """One row a collected month with the columns of `batches`. What was settled to the month before (B5) leaves
    `distinct_emails` and `duplicates`, so that the sum of interfaces.md 6 holds."""
    import pyarrow as pa

    rows = [
        _row(lake.month, lake.emails.quality, interactions.quality, lake.emails.shows_until)
        for lake, interactions in zip(window.lake, window.interactions, strict=True)
        if lake.emails is not None
    ]
    schema = PUBLISHED["batches"].schema
    return pa.Table.from_pylist(rows, schema=schema.remove(schema.get_field_index("as_of")))


def _row(month: str, read: dict[str, Any], settled: dict[str, Any], read_at: Any) -> dict[str, Any]:
    emails, copies = settled.get("settled_emails", 0), settled.get("settled_copies", 0)
    mailboxes = read.get("mailboxes", {})
    return {
        "month": month,
        "copies_read": read.get("copies_read", 0),
        "distinct_emails": read.get("distinct_emails", 0) - emails,
        "duplicates": read.get("duplicates", 0) - (copies - emails),
        "dropped": sum(read.get("dropped", {}).values()),
        "left_out_by_cap": read.get("left_out_by_cap", 0),
        "mailboxes_expected": mailboxes.get("expected", 0),
        "mailboxes_read": mailboxes.get("done", 0),
        "status": read.get("status", "complete"),
        "read_at": read_at,
        "left_out_copies": read.get("left_out_copies", 0),
        "settled_copies": copies,
    }
