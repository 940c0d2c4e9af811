"""The CRM's side of the tenant: accounts, contacts, leads, opportunities, stakeholders, phone calls and user roles.

Columns carry Dataverse's names (graph.md 6). People who own records are directory users: `systemuserid` equals their
object id here, which a real organisation does not promise; `user_roles` gives the mapping either way.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from relationship_pipeline.simulator import names
from relationship_pipeline.simulator.hashing import guid, mix, poisson, stream_of_chance, unit
from relationship_pipeline.simulator.people import Company, Contact
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import DAY, HOUR, MINUTE, iso

Row = Mapping[str, object]
_LEAD_COMPANIES = 1_000_000  # companies from this index on are in no one's patch: leads come from there

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("accountid", "name", "websiteurl", "emailaddress1", "_primarycontactid_value", "_ownerid_value",
                 "statecode", "modifiedon"),
    "contacts": ("contactid", "fullname", "jobtitle", "emailaddress1", "emailaddress2", "emailaddress3",
                 "_parentcustomerid_value", "_ownerid_value", "statecode", "modifiedon"),
    "leads": ("leadid", "fullname", "companyname", "emailaddress1", "emailaddress2", "emailaddress3",
              "_ownerid_value", "statecode", "createdon", "modifiedon"),
    "opportunities": ("opportunityid", "name", "_parentaccountid_value", "_parentcontactid_value",
                      "_customerid_value", "_ownerid_value", "estimatedvalue", "estimatedclosedate",
                      "actualclosedate", "statecode", "createdon", "modifiedon"),
    "stakeholders": ("stakeholderid", "opportunityid", "leadid", "contactid", "systemuserid", "emailaddress", "role"),
    "phonecalls": ("activityid", "directioncode", "actualstart", "actualend", "actualdurationminutes",
                   "_regardingobjectid_value", "regardingobjecttypecode", "_ownerid_value", "from_partyid",
                   "from_addressused", "to_partyid", "to_addressused", "statecode"),
    "user_roles": ("systemuserid", "azureactivedirectoryobjectid", "internalemailaddress", "fullname", "rolename"),
}  # fmt: skip


class Crm:
    """Rows of every table, as dictionaries with the keys of COLUMNS."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.people = tenant.people
        self.streams = tenant.streams
        self.seed = mix(tenant.people.seed ^ 0xC12)
        self.start, self.end = tenant.scenario.window

    @cached_property
    def known(self) -> dict[int, list[int]]:
        """Contacts that the CRM holds, by company: half of those that colleagues are in touch with, and some others."""
        found: dict[int, set[int]] = {}
        for index in self.people.members:
            for relation in self.streams.relations(index):
                if unit(mix(self.seed ^ (relation.company * 4096 + relation.place))) < 0.6:
                    found.setdefault(relation.company, set()).add(relation.place)
        for company in range(self.people.companies):
            if self._has_account(company):
                found.setdefault(company, set()).add(0)
        return {company: sorted(places) for company, places in sorted(found.items())}

    def _has_account(self, company: int) -> bool:
        return unit(mix(self.seed ^ (company * 8 + 1))) < 0.75

    def owner(self, company: int) -> int:
        """The colleague who owns an account: the one with the strongest relation to it, else anyone."""
        return self._owners.get(company, (0.0, mix(self.seed ^ company) % self.tenant.scenario.users))[1]

    @cached_property
    def _owners(self) -> dict[int, tuple[float, int]]:
        best: dict[int, tuple[float, int]] = {}
        for index in self.people.members:
            for relation in self.streams.relations(index):
                found = (relation.weight * self.people.users[index].activity, index)
                if found > best.get(relation.company, (0.0, -1)):
                    best[relation.company] = found
        return best

    def _oid(self, index: int) -> str:
        return self.people.users[index].oid

    @property
    def _modified(self) -> str:
        return iso(self.end - DAY)

    def accounts(self) -> Iterator[Row]:
        for company in range(self.people.companies):
            if self._has_account(company):
                firm = self.people.company(company)
                yield {
                    "accountid": firm.account_id,
                    "name": firm.name,
                    "websiteurl": f"https://www.{firm.domain}/",
                    "emailaddress1": f"info@{firm.domain}",
                    "_primarycontactid_value": self.people.contact(company, self.known[company][0]).contact_id,
                    "_ownerid_value": self._oid(self.owner(company)),
                    "statecode": 0,
                    "modifiedon": self._modified,
                }

    def contacts(self) -> Iterator[Row]:
        duplicates = self.tenant.scenario.realism.crm_duplicates
        for company, places in self.known.items():
            firm = self.people.company(company)
            for place in places:
                contact = self.people.contact(company, place)
                yield self._contact_row(contact, firm, contact.contact_id, contact.name.display)
                if unit(mix(self.seed ^ (company * 512 + place))) < duplicates:
                    short = f"{contact.name.given[:1]}. {contact.name.surname}"
                    yield self._contact_row(contact, firm, guid(contact.contact_id, "again"), short)

    def _contact_row(self, contact: Contact, firm: Company, contact_id: str, name: str) -> Row:
        return {
            "contactid": contact_id,
            "fullname": name,
            "jobtitle": contact.title,
            "emailaddress1": contact.address,
            "emailaddress2": contact.second,
            "emailaddress3": None,
            "_parentcustomerid_value": firm.account_id if self._has_account(firm.index) else None,
            "_ownerid_value": self._oid(self.owner(firm.index)),
            "statecode": 0,
            "modifiedon": self._modified,
        }

    def leads(self) -> Iterator[Row]:
        """People of companies without an account whom colleagues write with, and some never written to."""
        for company in range(self.people.companies):
            places = self.known.get(company, [])
            if not self._has_account(company) and places:
                yield self._lead_row(company, places[0])
        for number in range(max(2, self.tenant.scenario.users // 15)):
            yield self._lead_row(_LEAD_COMPANIES + number, 0)

    def _lead_row(self, company: int, place: int) -> Row:
        contact, firm = self.people.contact(company, place), self.people.company(company)
        chance = mix(self.seed ^ (company * 16 + 3))
        return {
            "leadid": guid(self.seed, "lead", company, place),
            "fullname": contact.name.display,
            "companyname": firm.name,
            "emailaddress1": contact.address,
            "emailaddress2": contact.second,
            "emailaddress3": None,
            "_ownerid_value": self._oid(self.owner(company)),
            "statecode": (0, 0, 0, 1, 2)[chance % 5],
            "createdon": iso(self.start + chance % (self.end - self.start)),
            "modifiedon": self._modified,
        }

    @cached_property
    def _deals(self) -> list[tuple[int, int, str]]:
        """(company, number, opportunity id) of every opportunity."""
        return [
            (company, number, guid(self.seed, "opportunity", company, number))
            for company in range(self.people.companies)
            if self._has_account(company)
            for number in range(mix(self.seed ^ (company * 8 + 2)) % 4)
        ]

    def opportunities(self) -> Iterator[Row]:
        for company, number, opportunity in self._deals:
            chance = mix(self.seed ^ (company * 64 + number))
            firm = self.people.company(company)
            places = self.known[company]
            created = self.start + chance % (self.end - self.start)
            state = (0, 0, 1, 1, 2)[chance >> 8 & 0xFF if (chance >> 8 & 0xFF) < 5 else (chance >> 8) % 5]
            closing = created + DAY * (30 + (chance >> 16) % 150)
            closed = state > 0 and closing < self.end
            yield {
                "opportunityid": opportunity,
                "name": f"{firm.name}: {names.DEPARTMENTS[number]} renewal {number + 1}",
                "_parentaccountid_value": firm.account_id,
                "_parentcontactid_value": self.people.contact(company, places[number % len(places)]).contact_id,
                "_customerid_value": firm.account_id,
                "_ownerid_value": self._oid(self.owner(company)),
                "estimatedvalue": 1000 * (5 + (chance >> 24) % 400),
                "estimatedclosedate": iso(closing)[:10],
                "actualclosedate": iso(closing)[:10] if closed else None,
                "statecode": state if closed else 0,
                "createdon": iso(created),
                "modifiedon": self._modified,
            }

    def stakeholders(self) -> Iterator[Row]:
        """Outside stakeholders of opportunities and leads, and the sales team of opportunities."""
        for company, number, opportunity in self._deals:
            for place in self.known[company][:3]:
                contact = self.people.contact(company, place)
                yield {
                    "stakeholderid": guid(opportunity, contact.contact_id),
                    "opportunityid": opportunity,
                    "contactid": contact.contact_id,
                    "emailaddress": contact.address,
                    "role": "Stakeholder",
                }
            owner = self.owner(company)
            team = self.people.team(owner)
            mate = team[(owner - team[0] + 1 + number) % len(team)]
            yield {
                "stakeholderid": guid(opportunity, mate),
                "opportunityid": opportunity,
                "systemuserid": self._oid(mate),
                "emailaddress": self.people.users[mate].mail,
                "role": "Sales Team",
            }
        for company in range(self.people.companies):
            places = self.known.get(company, [])
            if not self._has_account(company) and len(places) > 1:
                contact = self.people.contact(company, places[1])
                lead = guid(self.seed, "lead", company, places[0])
                yield {
                    "stakeholderid": guid(lead, contact.contact_id),
                    "leadid": lead,
                    "contactid": contact.contact_id,
                    "emailaddress": contact.address,
                    "role": "Stakeholder",
                }

    def phonecalls(self) -> Iterator[Row]:
        months = (self.end - self.start) / DAY / 30
        for index in self.people.members:
            user = self.people.users[index]
            for relation in self.streams.relations(index)[:6]:
                if relation.place not in self.known.get(relation.company, ()):
                    continue
                contact = self.people.contact(relation.company, relation.place)
                rng = stream_of_chance(mix(self.seed ^ (index * 65536 + relation.company * 64 + relation.place)))
                for _ in range(poisson(rng, 0.4 * months)):
                    begin = self.start + int((self.end - self.start) * rng.random()) // DAY * DAY
                    begin += int((8 + 9 * rng.random()) * HOUR)
                    if not self.streams.active(relation, begin) or not user.active_at(begin):
                        continue
                    yield self._call(rng.getrandbits(64), begin, index, contact)

    def _call(self, chance: int, begin: int, index: int, contact: Contact) -> Row:
        user = self.people.users[index]
        minutes = 3 + chance % 40
        outgoing = chance >> 8 & 3 != 0
        ours, theirs = (user.oid, user.mail), (contact.contact_id, contact.address)
        caller, called = (ours, theirs) if outgoing else (theirs, ours)
        deals = [deal for company, _, deal in self._deals_of(contact.company)]
        regarding = deals[chance % len(deals)] if deals and chance >> 12 & 3 == 0 else None
        return {
            "activityid": guid(self.seed, "call", chance),
            "directioncode": "true" if outgoing else "false",
            "actualstart": iso(begin),
            "actualend": iso(begin + minutes * MINUTE),
            "actualdurationminutes": minutes,
            "_regardingobjectid_value": regarding,
            "regardingobjecttypecode": "opportunity" if regarding else None,
            "_ownerid_value": user.oid,
            "from_partyid": caller[0],
            "from_addressused": caller[1],
            "to_partyid": called[0],
            "to_addressused": called[1],
            "statecode": 1,
        }

    def _deals_of(self, company: int) -> list[tuple[int, int, str]]:
        return self._deals_by_company.get(company, [])

    @cached_property
    def _deals_by_company(self) -> dict[int, list[tuple[int, int, str]]]:
        found: dict[int, list[tuple[int, int, str]]] = {}
        for deal in self._deals:
            found.setdefault(deal[0], []).append(deal)
        return found

    def user_roles(self) -> Iterator[Row]:
        for index in self.people.members:
            user = self.people.users[index]
            manager = index == self.people.team(index)[0]
            yield {
                "systemuserid": user.oid,
                "azureactivedirectoryobjectid": user.oid,
                "internalemailaddress": user.mail,
                "fullname": user.display_name,
                "rolename": "Sales Manager" if manager else "Salesperson",
            }


def write_crm(tenant: Tenant, folder: Path) -> dict[str, int]:
    """Write the CRM tables as `<table>.csv` below `folder`; returns rows by table."""
    folder.mkdir(parents=True, exist_ok=True)
    crm = Crm(tenant)
    written = {}
    for table, columns in COLUMNS.items():
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            rows = list(getattr(crm, table)())
            writer.writerows(rows)
            written[table] = len(rows)
    return written
