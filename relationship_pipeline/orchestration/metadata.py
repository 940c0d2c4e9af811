"""What an operator sees on a partition: counts, table schema and a small chart. Counts only, never a row."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

    from relationship_pipeline.lake.manifest import Manifest

BAR_WIDTH, BAR_GAP, CHART_HEIGHT = 14, 4, 80


def table_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name=field.name, type=str(field.type)) for field in schema])


def bar_chart(values: Sequence[int], title: str) -> dg.MarkdownMetadataValue:
    """One bar a value, as an inlined SVG picture with its title and largest value as text."""
    top = max(values, default=0) or 1
    bars = "".join(
        f'<rect x="{index * (BAR_WIDTH + BAR_GAP)}" y="{CHART_HEIGHT - value * CHART_HEIGHT / top:.1f}" '
        f'width="{BAR_WIDTH}" height="{value * CHART_HEIGHT / top:.1f}" rx="2" fill="#4f6bed"/>'
        for index, value in enumerate(values)
    )
    width = max(len(values), 1) * (BAR_WIDTH + BAR_GAP)
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{CHART_HEIGHT}" role="img">'
        f"<title>{title}</title>{bars}</svg>"
    )
    encoded = base64.b64encode(picture.encode()).decode()
    return dg.MetadataValue.md(
        f"**{title}** (largest: {max(values, default=0):,})\n\n![{title}](data:image/svg+xml;base64,{encoded})"
    )


def count_table(counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    lines = [f"| {name.replace('_', ' ')} | {count:,} |" for name, count in counts.items()]
    return dg.MetadataValue.md("\n".join(["| count | rows |", "|---|---:|", *lines]))


def month_metadata(manifest: Manifest, schema: pa.Schema | None = None) -> dict[str, Any]:
    """Metadata of one month of a monthly asset, from its manifest."""
    metadata: dict[str, Any] = {"dagster/partition_row_count": manifest.rows, "epoch": manifest.epoch}
    if schema is not None:
        metadata["dagster/column_schema"] = table_schema(schema)
    quality = manifest.quality
    counts = {name: value for name, value in quality.items() if isinstance(value, int)}
    if counts:
        metadata["quality"] = count_table(counts)
    for name in ("dropped", "mailboxes"):
        if quality.get(name):
            metadata[name] = count_table(quality[name])
    for name in ("partial_reasons", "not_provided", "notes"):
        if quality.get(name):
            metadata[name] = ", ".join(quality[name])
    if quality.get("status"):
        metadata["status"] = quality["status"]
    if quality.get("by_day"):
        metadata["by_day"] = bar_chart(quality["by_day"], "Copies kept a day")
    return metadata
