"""Who the CRM's contacts and accounts are among addresses (N2, N11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relationship_pipeline.domain.addresses import domain_of
from relationship_pipeline.insights.accounts import AccountRules, domain_of_website, registrable_domain
from relationship_pipeline.schemas import CRM

if TYPE_CHECKING:
    import pyarrow as pa


def crm_table(crm: Mapping[str, pa.Table], kind: str) -> pa.Table:
    """The CRM's rows of a kind; none where the file is missing."""
    return crm[kind] if kind in crm else CRM[kind].empty_table()


@dataclass
class CrmPeople:
    """`addresses`: address -> the one that stands for the person. `contacts`: contact id -> person. `parents`: person ->
    account id. `primaries`: (person, account id). `names`: person -> name. `domains`: registrable domain -> account id,
    and the other way round in `account_domains`. `leads`: persons whom leads list by their own address."""

    addresses: dict[str, str] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    primaries: set[tuple[str, str]] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    account_domains: dict[str, str] = field(default_factory=dict)
    leads: set[str] = field(default_factory=set)


def all_addresses(crm: Mapping[str, pa.Table]) -> set[str]:
    """Every address the CRM lists for contacts and leads, and of phone calls."""
    found: set[str] = set()
    for kind in ("contacts", "leads"):
        for addresses in crm_table(crm, kind)["addresses"].to_pylist():
            found.update(addresses or ())
    calls = crm_table(crm, "phonecalls")
    for addresses in calls["to_addresses"].to_pylist():
        found.update(addresses or ())
    found.update(address for address in calls["from_address"].to_pylist() if address)
    return found


def addresses_of_persons(crm: Mapping[str, pa.Table], is_outside: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    """Every outside address (N2) that the CRM lists for contacts and leads, with all of the same person's; rows that share
    one are one person (O6)."""
    persons: dict[str, frozenset[str]] = {}
    for kind in ("contacts", "leads"):
        for addresses in crm_table(crm, kind)["addresses"].to_pylist():
            own = frozenset(filter(is_outside, addresses or ()))
            person = own.union(*(persons.get(address, frozenset()) for address in own))
            persons.update(dict.fromkeys(person, person))
    return persons


def crm_people(crm: Mapping[str, pa.Table], outside: frozenset[str], free_mail: frozenset[str]) -> CrmPeople:
    """Read the CRM's contacts and accounts; `outside` are those of its addresses that stand outside (N2).

    A contact is known by its first address outside; contacts that share one are one person, the smaller id coming first.
    A domain belongs to the account that names it as web site or else as mail domain, the smaller id coming first.
    """
    people = CrmPeople()
    accounts = sorted(crm_table(crm, "accounts").to_pylist(), key=lambda row: row["account_id"])
    account_ids = {row["account_id"] for row in accounts}
    for row in sorted(crm_table(crm, "contacts").to_pylist(), key=lambda row: row["contact_id"]):
        own = [address for address in row["addresses"] or () if address in outside]
        if not own:
            continue
        person = next((people.addresses[address] for address in own if address in people.addresses), own[0])
        people.contacts[row["contact_id"]] = person
        for address in own:
            people.addresses.setdefault(address, person)
        if row["name"]:
            people.names.setdefault(person, row["name"])
        if row["parent_id"] in account_ids:
            people.parents.setdefault(person, row["parent_id"])
    for row in crm_table(crm, "leads").to_pylist():
        people.leads.update(person_of(people, address) for address in row["addresses"] or () if address in outside)
    rules = AccountRules(free_mail=free_mail, crm_domains={})
    for row in accounts:
        primary = people.contacts.get(row["primary_contact_id"])
        if primary:
            people.primaries.add((primary, row["account_id"]))
        candidates = [domain_of_website(row["website"]), *map(domain_of, row["addresses"] or ())]
        named = [domain for domain in candidates if domain and rules.account_of(domain)]
        if named:
            domain = registrable_domain(named[0]) or named[0]
            people.account_domains[row["account_id"]] = domain
            people.domains.setdefault(domain, row["account_id"])
    return people


def person_of(people: CrmPeople, address: str) -> str:
    """The address that stands for the person who has this one."""
    return people.addresses.get(address, address)
