"""Who is who among addresses (N2, N11): the rules of the day as tables, and one digest that tells when they change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from relationship_pipeline.insights.accounts import AccountRules, free_mail_domains
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.insights.crm_people import CrmPeople, all_addresses, crm_people
from relationship_pipeline.insights.workbench import Workbench

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MODELS = "relationship_pipeline.insights.models.month"


@dataclass(frozen=True)
class Identification:
    """Who is who, the same for every month. Arrow tables as consent's rules give them (`people`, `absences`,
    `internal_domains`, `hidden_addresses`, `hidden_domains`) and as the CRM says (`crm_addresses`: address, person;
    `crm_parents` and `crm_primaries`: person, account_id; `crm_watched`: person, the contacts and leads)."""

    people: pa.Table
    absences: pa.Table
    internal_domains: pa.Table
    hidden_addresses: pa.Table
    hidden_domains: pa.Table
    crm_addresses: pa.Table
    crm_parents: pa.Table
    crm_primaries: pa.Table
    crm_watched: pa.Table
    accounts: AccountRules

    def identify(self, bench: Workbench) -> None:
        """From table `month_addresses` (address) make table `identities` (address, side, person, accounts)."""
        self.find_sides(bench)
        bench.register("domain_accounts", self._domain_accounts(bench.engine))
        bench.table("identities")

    def find_sides(self, bench: Workbench) -> None:
        """From table `month_addresses` (address) make table `sides` (address, domain, side, user_id)."""
        for name in _TABLES:
            bench.register(name, getattr(self, name))
        bench.table("sides")

    def _domain_accounts(self, engine: duckdb.DuckDBPyConnection) -> pa.Table:
        import pyarrow as pa

        rows = engine.execute(
            "select distinct domain from sides where side = 'outside' "
            "union select split_part(person, '@', 2) from crm_addresses"
        ).fetchall()
        accounts = [(domain, self.accounts.account_of(domain)) for (domain,) in rows]
        return pa.table(
            {
                "domain": pa.array([domain for domain, account in accounts if account], pa.string()),
                "account_id": pa.array([account for _, account in accounts if account], pa.string()),
            }
        )

    def absences_between(self, lo: datetime, hi: datetime) -> str:
        """A digest of the absences that touch [lo, hi): the same as long as none that matters there comes or goes."""
        rows = [
            row
            for row in self.absences.to_pylist()
            if (row["since"] is None or row["since"] < hi) and (row["until"] is None or row["until"] > lo)
        ]
        return hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()[:16] if rows else "none"

    @cached_property
    def digest(self) -> str:
        """Equal for equal rules, whatever the order of their rows."""
        whole = hashlib.sha256()
        for name in _TABLES:
            rows = sorted(repr(row) for row in getattr(self, name).to_pylist())
            whole.update("\n".join([name, *rows]).encode())
        whole.update(repr(sorted(self.accounts.free_mail)).encode())
        whole.update(repr(sorted(self.accounts.crm_domains.items())).encode())
        return whole.hexdigest()[:32]


_TABLES = (
    "people", "absences", "internal_domains", "hidden_addresses", "hidden_domains", "crm_addresses", "crm_parents",
    "crm_primaries", "crm_watched",
)  # fmt: skip


def identification(context: BuildContext) -> tuple[Identification, CrmPeople]:
    """The rules of a build, with the CRM's contacts read under them."""
    free_mail = free_mail_domains(context.settings.free_mail_domains)
    blank = _identification(context, CrmPeople(), free_mail)
    with context.engine() as engine:
        bench = Workbench(engine, MODELS)
        bench.register("month_addresses", one_column("address", all_addresses(context.crm)))
        blank.find_sides(bench)
        outside = engine.execute("select address from sides where side = 'outside'").fetchall()
    people = crm_people(context.crm, frozenset(address for (address,) in outside), free_mail)
    return _identification(context, people, free_mail), people


def _identification(context: BuildContext, crm: CrmPeople, free_mail: frozenset[str]) -> Identification:
    from relationship_pipeline.schemas import ABSENCES

    return Identification(
        people=context.people,
        absences=ABSENCES.empty_table() if context.absences is None else context.absences,
        internal_domains=context.internal_domains,
        hidden_addresses=context.hidden_addresses,
        hidden_domains=context.hidden_domains,
        crm_addresses=two_columns("address", "person", crm.addresses.items()),
        crm_parents=two_columns("person", "account_id", crm.parents.items()),
        crm_primaries=two_columns("person", "account_id", crm.primaries),
        crm_watched=one_column("person", {*crm.contacts.values(), *crm.leads}),
        accounts=AccountRules(free_mail=free_mail, crm_domains=crm.domains),
    )


def one_column(name: str, values: Iterable[str]) -> pa.Table:
    """A table of one text column, rows sorted."""
    import pyarrow as pa

    return pa.table({name: pa.array(sorted(values), pa.string())})


def two_columns(first: str, second: str, rows: Iterable[tuple[str, str]]) -> pa.Table:
    """A table of two text columns, rows sorted."""
    import pyarrow as pa

    ordered = sorted(rows)
    return pa.table(
        {
            first: pa.array([row[0] for row in ordered], pa.string()),
            second: pa.array([row[1] for row in ordered], pa.string()),
        }
    )
