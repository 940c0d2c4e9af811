"""The last gate before publishing (O4-O6, K5): rows that name someone hidden, or an introducer who may not be one.

The insights were built under the same rules; this is defence in depth against a change between the two. Where a row
has to go, the table is copied without it, so that the process that builds a published database only ever reads allowed
rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relationship_pipeline.consent.enforcement import Rules
from relationship_pipeline.durable import temp_path

if TYPE_CHECKING:
    import pyarrow as pa

RECORD_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "contact_kpis": ("contact_email",),
    "account_kpis": ("account_id", "domain"),
    "opportunity_kpis": (),
    "lead_kpis": (),
    "most_contacted": ("record_id", "person_email"),
    "daily_activity": ("record_id",),
    "health_components": ("record_id",),
    "health_history": ("record_id",),
    "alerts": ("record_id",),
    "planned_meetings": ("contact_email",),
    "batches": (),
    "who_knows_whom": ("contact_email", "colleague_email"),
    "who_knows_company": ("account_id", "colleague_email"),
    "strength_components": ("contact_email", "colleague_email"),
    "graph_nodes": ("node_id",),
    "graph_edges": ("source", "target"),
}
"""The columns of each published table that hold an address, a domain or a record made from one."""

INTRODUCER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "who_knows_whom": ("colleague_email",),
    "who_knows_company": ("colleague_email",),
    "strength_components": ("colleague_email",),
    "graph_edges": ("source",),
}
"""The columns that always name a colleague who may introduce."""

INTRODUCERS_BY_KIND: Mapping[str, tuple[str, str]] = {
    "graph_nodes": ("node_id", "colleague"),
    "graph_edges": ("target", "colleague_colleague"),
}
"""The columns that name one in rows of that `kind` only."""


@dataclass(frozen=True)
class Allowed:
    """Who may be shown now, by address in N1 form: colleagues who may introduce (all others may not), and the outside
    addresses and domains (with their sub-domains) that are suppressed everywhere."""

    introducers: frozenset[str]
    hidden_addresses: frozenset[str] = frozenset()
    hidden_domains: frozenset[str] = frozenset()

    @classmethod
    def by(cls, rules: Rules) -> Allowed:
        """What the consent rules of this moment allow."""
        import pyarrow.compute as pc

        introducers = rules.people.filter(rules.people["may_introduce"])
        addresses = pc.unique(pc.drop_null(introducers["address"])).to_pylist()
        return cls(
            introducers=frozenset(addresses) | frozenset(introducers["primary_address"].to_pylist()),
            hidden_addresses=frozenset(rules.hidden["address"].to_pylist()),
            hidden_domains=frozenset(rules.hidden_domains["domain"].to_pylist()),
        )

    def hides(self, value: str) -> bool:
        """Whether an address, domain or record id names someone suppressed."""
        if value in self.hidden_addresses:
            return True
        if not self.hidden_domains:
            return False
        labels = value.rpartition("@")[2].split(".")
        return any(".".join(labels[start:]) in self.hidden_domains for start in range(len(labels)))


def allowed_files(
    table: str, files: Iterable[Path], allowed: Allowed, also_hidden: Collection[str], tmp: Path
) -> list[Path]:
    """The files of a built table, each replaced by a copy without the rows that may not be shown where it has such.

    `also_hidden` are record ids whose account is hidden. Copies lie in `tmp` under names that the janitor sweeps.
    """
    return [_without(file, table, allowed, also_hidden, tmp) or file for file in files]


def hidden_accounts(files: Iterable[Path], allowed: Allowed) -> set[str]:
    """Ids of the accounts (files of `account_kpis`) that stand for a hidden domain under another id."""
    import pyarrow.parquet as pq

    hidden: set[str] = set()
    for file in files:
        table = pq.read_table(file, columns=["account_id", "domain"])
        for account, domain in zip(table["account_id"].to_pylist(), table["domain"].to_pylist(), strict=True):
            if domain is not None and allowed.hides(domain):
                hidden.add(account)
    return hidden


def _without(file: Path, table: str, allowed: Allowed, also_hidden: Collection[str], tmp: Path) -> Path | None:
    """A copy of the file without its hidden rows, or None when it has none."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as source:
        hidden = _hidden_values(source, table, allowed, also_hidden)
        if not any(hidden.values()):
            return None
        target = temp_path(tmp, ".parquet")
        with pq.ParquetWriter(target, source.schema_arrow, compression="zstd") as writer:
            for batch in source.iter_batches():
                writer.write_batch(batch.filter(_shown(batch, hidden)))
    target.chmod(0o600)
    return target


def _hidden_values(source: Any, table: str, allowed: Allowed, also_hidden: Collection[str]) -> dict[str, set[str]]:
    """By column: its values whose rows must go."""
    hidden: dict[str, set[str]] = {}
    for column in RECORD_COLUMNS[table]:
        values = _distinct(source, column)
        hidden[column] = {value for value in values if value in also_hidden or allowed.hides(value)}
        if column in INTRODUCER_COLUMNS.get(table, ()):
            hidden[column] |= values - allowed.introducers
    if table in INTRODUCERS_BY_KIND:
        column, kind = INTRODUCERS_BY_KIND[table]
        hidden[column] |= _distinct(source, column, kind) - allowed.introducers
    return hidden


def _distinct(source: Any, column: str, kind: str | None = None) -> set[str]:
    import pyarrow.compute as pc

    values: set[str] = set()
    for batch in source.iter_batches(columns=[column] if kind is None else [column, "kind"]):
        rows = batch if kind is None else batch.filter(pc.equal(batch["kind"], kind))
        values.update(rows[column].unique().to_pylist())
    return values - {None}


def _shown(batch: pa.RecordBatch, hidden: Mapping[str, set[str]]) -> pa.BooleanArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    shown = pa.array([True] * batch.num_rows)
    for column, values in hidden.items():
        gone = pc.is_in(batch[column], value_set=pa.array(sorted(values), pa.string()))
        shown = pc.and_(shown, pc.invert(gone))
    return shown
