"""Is somebody known? Look-ups of a contact or company in the built KPI tables, which hold everybody there was contact with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relationship_pipeline.errors import BadInput
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.layout import EpochLayout

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc


def is_contact(tree: EpochLayout, address: str) -> bool:
    """Whether contact_kpis has a row for an address (N1). Raises BadInput where nothing was built, BadLake."""
    import pyarrow.compute as pc

    return bool(_read(tree, "contact_kpis", ["contact_email"], pc.field("contact_email") == address).num_rows)


def account_of_domain(tree: EpochLayout, domain: str) -> str | None:
    """The account that a domain stands for: that of its own name, else the one that most contacts of the domain and its
    sub-domains belong to; None where there is none. Raises BadInput where nothing was built, BadLake."""
    import pyarrow.compute as pc

    named = (pc.field("account_id") == domain) | (pc.field("domain") == domain)
    if (found := _read(tree, "account_kpis", ["account_id"], named)).num_rows:
        return min(found["account_id"].to_pylist())
    contacts = _read(tree, "contact_kpis", ["contact_email", "account_id"], pc.field("account_id").is_valid())
    address = contacts["contact_email"]
    there = contacts.filter(pc.or_(pc.ends_with(address, f"@{domain}"), pc.ends_with(address, f".{domain}")))
    counts = there.group_by("account_id").aggregate([([], "count_all")])
    ordered = counts.sort_by([("count_all", "descending"), ("account_id", "ascending")])
    return ordered["account_id"][0].as_py() if ordered.num_rows else None


def _read(tree: EpochLayout, table: str, columns: list[str], which: pc.Expression) -> pa.Table:
    import pyarrow.parquet as pq

    folder = tree.insight(table)
    manifest = open_table(folder)
    if manifest is None:
        raise BadInput("no insights were built yet: run `relationship-pipeline backfill`")
    return pq.read_table(manifest.paths(folder), columns=columns, filters=which)
