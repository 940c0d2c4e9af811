"""The last gate before publishing (O4-O6, K5): rows that name someone hidden, or an introducer who may not be one.

The insights were built under the same rules; this is defence in depth against a change between the two. Where a row
has to go, the table is copied without it, so that the process that builds a published database only ever reads allowed
rows. A contact of a hidden account stays, for only the account is hidden, and is shown without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from relationship_pipeline.domain.addresses import domain_of, lies_in
from relationship_pipeline.durable import temp_path

if TYPE_CHECKING:
    import pyarrow as pa

RECORD_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "contact_kpis": ("contact_email",),
    "account_kpis": ("account_id", "domain"),
    "opportunity_kpis": ("account_id",),
    "lead_kpis": ("lead_id",),
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
"""The columns of each published table that hold an address, a domain or a record made from one, and that say what the
row is about: where they name somebody hidden, it goes."""

ACCOUNT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "contact_kpis": ("account_id",),
    "planned_meetings": ("account_id",),
    "graph_nodes": ("account_id",),
}
"""The columns that say whose contact a row is about: where that is hidden, they become null and the row stays (N7)."""

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

RECORD_ID_COLUMNS: Mapping[str, str] = {"account_id": "account", "lead_id": "lead"}
"""The columns of RECORD_COLUMNS that hold ids of one type of record."""

ROWS_AT_ONCE = 500_000

HiddenRecords = Mapping[str, Collection[str]]
"""Ids of the accounts, opportunities and leads that are hidden, by type of record."""


@dataclass(frozen=True)
class Allowed:
    """Who may be shown now, by address in N1 form: colleagues who may introduce (all others may not), and the outside
    addresses and domains (with their sub-domains) that are suppressed everywhere. `leads`: addresses by lead of the CRM."""

    introducers: frozenset[str]
    hidden_addresses: frozenset[str] = frozenset()
    hidden_domains: frozenset[str] = frozenset()
    leads: Mapping[str, Collection[str]] = field(default_factory=dict)

    def hides(self, address: str) -> bool:
        return address in self.hidden_addresses or lies_in(domain_of(address), self.hidden_domains)


def allowed_files(table: str, files: Iterable[Path], allowed: Allowed, records: HiddenRecords, tmp: Path) -> list[Path]:
    """The files of a built table, each replaced by a copy without what may not be shown where it has such.

    Copies lie in `tmp` under names that the janitor sweeps.
    """
    return [_without(file, table, allowed, records, tmp) or file for file in files]


def hidden_records(files: Mapping[str, Iterable[Path]], allowed: Allowed) -> HiddenRecords:
    """From the files of the built tables."""
    accounts = _hidden_accounts(files["account_kpis"], allowed)
    return {
        "account": accounts,
        "opportunity": _hidden_opportunities(files["opportunity_kpis"], accounts),
        "lead": _hidden_leads(files["lead_kpis"], allowed),
    }


def _hidden_accounts(files: Iterable[Path], allowed: Allowed) -> set[str]:
    """Ids of the accounts (files of `account_kpis`) that stand for a hidden domain under another id."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    hidden: set[str] = set()
    for file in files:
        table = pq.read_table(file, columns=["account_id", "domain"])
        domains = _hidden(pc.unique(table["domain"]), allowed, ())
        hidden.update(table.filter(pc.is_in(table["domain"], value_set=domains))["account_id"].to_pylist())
    return hidden


def _hidden_opportunities(files: Iterable[Path], accounts: Collection[str]) -> set[str]:
    """Ids of the opportunities (files of `opportunity_kpis`) of hidden accounts, which go from every table with them."""
    import pyarrow.parquet as pq

    rows = [row for file in files for row in pq.read_table(file, columns=["opportunity_id", "account_id"]).to_pylist()]
    return {row["opportunity_id"] for row in rows if row["account_id"] in accounts}


def _hidden_leads(files: Iterable[Path], allowed: Allowed) -> set[str]:
    """Ids of the leads (files of `lead_kpis`) that still carry the name of somebody suppressed; the next build leaves out
    the name, until then their rows wait."""
    import pyarrow.parquet as pq

    hidden = {lead for lead, addresses in allowed.leads.items() if any(map(allowed.hides, addresses))}
    if not hidden:
        return hidden
    rows = [row for file in files for row in pq.read_table(file, columns=["lead_id", "lead_name"]).to_pylist()]
    return hidden.intersection(row["lead_id"] for row in rows if row["lead_name"] is not None)


def _without(file: Path, table: str, allowed: Allowed, records: HiddenRecords, tmp: Path) -> Path | None:
    """A copy of the file without its hidden rows and the names of hidden accounts, or None when it has neither."""
    import pyarrow.parquet as pq

    hidden = _hidden_by_column(file, table, allowed, records)
    accounts = {
        column: _hidden(_distinct(file, column), allowed, records["account"])
        for column in ACCOUNT_COLUMNS.get(table, ())
    }
    of_type = _hidden_by_type(file, records) if "record_id" in RECORD_COLUMNS[table] else {}
    if not any(map(len, [*hidden.values(), *accounts.values(), *of_type.values()])):
        return None
    target = temp_path(tmp, ".parquet")
    with pq.ParquetFile(file) as source, pq.ParquetWriter(target, source.schema_arrow, compression="zstd") as writer:
        for batch in source.iter_batches():
            writer.write_batch(_emptied(batch.filter(_shown(batch, hidden, of_type)), accounts))
    target.chmod(0o600)
    return target


def _hidden_by_column(file: Path, table: str, allowed: Allowed, records: HiddenRecords) -> dict[str, pa.StringArray]:
    """By column: its values whose rows must go, whatever their type of record."""
    import pyarrow as pa
    import pyarrow.compute as pc

    introducers = pa.array(sorted(allowed.introducers), pa.string())

    def barred(names: pa.StringArray) -> pa.StringArray:
        return names.filter(pc.invert(pc.is_in(names, value_set=introducers)))

    hidden: dict[str, pa.StringArray] = {}
    for column in RECORD_COLUMNS[table]:
        values = _distinct(file, column)
        record_type = RECORD_ID_COLUMNS.get(column)
        hidden[column] = _hidden(values, allowed, records[record_type] if record_type else ())
        if column in INTRODUCER_COLUMNS.get(table, ()):
            hidden[column] = pa.concat_arrays([hidden[column], barred(values)])
    if table in INTRODUCERS_BY_KIND:
        column, kind = INTRODUCERS_BY_KIND[table]
        hidden[column] = pa.concat_arrays([hidden[column], barred(_distinct(file, column, kind))])
    return hidden


def _hidden_by_type(file: Path, records: HiddenRecords) -> dict[str, pa.StringArray]:
    """By type of record: its ids in the file whose rows must go. Ids of different types may be equal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(records.values()):
        return {}
    values = _distinct(file, "record_id")
    return {
        record_type: values.filter(pc.is_in(values, value_set=pa.array(sorted(ids), pa.string())))
        for record_type, ids in records.items()
    }


def _hidden(values: pa.StringArray, allowed: Allowed, also_hidden: Collection[str]) -> pa.StringArray:
    """Those of the addresses, domains or record ids that name someone suppressed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    by_name = pc.is_in(values, value_set=pa.array(sorted(allowed.hidden_addresses.union(also_hidden)), pa.string()))
    if not allowed.hidden_domains:
        return values.filter(by_name)
    domains = pc.replace_substring_regex(values, pattern="^.*@", replacement="")
    covered = [
        domain for domain in pc.unique(domains).to_pylist() if domain and lies_in(domain, allowed.hidden_domains)
    ]
    return values.filter(pc.or_(by_name, pc.is_in(domains, value_set=pa.array(covered, pa.string()))))


def _distinct(file: Path, column: str, kind: str | None = None) -> pa.StringArray:
    """The values of a column, each once. Read as dictionaries: a year of a large company has millions of rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = [pa.array([], pa.string())]
    with pq.ParquetFile(file, read_dictionary=[column]) as source:
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=[column] if kind is None else [column, "kind"]):
            rows = batch if kind is None else batch.filter(pc.equal(batch["kind"], kind))
            found.append(pc.unique(rows[column]).cast(pa.string()))
    return pc.unique(pa.concat_arrays(found)).drop_null()


def _shown(
    batch: pa.RecordBatch, hidden: Mapping[str, pa.StringArray], of_type: Mapping[str, pa.StringArray]
) -> pa.BooleanArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    shown = pa.array([True] * batch.num_rows)
    for column, values in hidden.items():
        shown = pc.and_(shown, pc.invert(pc.is_in(batch[column], value_set=values)))
    for record_type, values in of_type.items():
        is_of_type = pc.equal(batch["record_type"], record_type)
        shown = pc.and_not(shown, pc.and_(is_of_type, pc.is_in(batch["record_id"], value_set=values)))
    return shown


def _emptied(batch: pa.RecordBatch, hidden: Mapping[str, pa.StringArray]) -> pa.RecordBatch:
    """The same rows, hidden values being null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, values in hidden.items():
        kept = pc.if_else(pc.is_in(batch[column], value_set=values), pa.scalar(None, pa.string()), batch[column])
        batch = batch.set_column(batch.schema.get_field_index(column), batch.schema.field(column), kept)
    return batch
