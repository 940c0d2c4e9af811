"""The CRM's side of the tenant: accounts, contacts, leads, opportunities, who is concerned with them, phone calls, which
meetings and emails are about what, and user roles.

Columns carry Dataverse's names (graph.md 6) where it has the column in that table; what Dataverse keeps in activity
parties and connections is flattened into addresses and pairs of ids. Colleagues are named by directory object id.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from relationship_pipeline.simulator import names
from relationship_pipeline.simulator.hashing import guid, mix, poisson, stream_of_chance, unit
from relationship_pipeline.simulator.mail import MESSAGE
from relationship_pipeline.simulator.people import Company, Contact, Recipient
from relationship_pipeline.simulator.shapes import ical_uid
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import DAY, HOUR, MINUTE, iso, third_of

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
    "stakeholders": ("record_type", "record_id", "contactid", "role"),
    "opportunity_team": ("opportunityid", "systemuserid"),
    "phonecalls": ("activityid", "directioncode", "actualstart", "actualend", "actualdurationminutes", "from_address",
                   "to_addresses", "_regardingobjectid_value", "regarding_type", "_ownerid_value", "statecode"),
    "appointments": ("activityid", "globalobjectid", "scheduledstart", "_regardingobjectid_value", "regarding_type"),
    "emails": ("activityid", "messageid", "_regardingobjectid_value", "regarding_type"),
    "user_roles": ("user", "role", "systemuserid", "fullname"),
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
            state = (0, 0, 1, 1, 2)[(chance >> 8) % 5]
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
        """Outside stakeholders of opportunities, and of leads that have a second known person."""
        for company, _, opportunity in self._deals:
            for place in self.known[company][:3]:
                contact = self.people.contact(company, place).contact_id
                yield {
                    "record_type": "opportunity",
                    "record_id": opportunity,
                    "contactid": contact,
                    "role": "Stakeholder",
                }
        for company in range(self.people.companies):
            places = self.known.get(company, [])
            if not self._has_account(company) and len(places) > 1:
                contact = self.people.contact(company, places[1]).contact_id
                lead = guid(self.seed, "lead", company, places[0])
                yield {"record_type": "lead", "record_id": lead, "contactid": contact, "role": "Stakeholder"}

    def opportunity_team(self) -> Iterator[Row]:
        """The sales team beside the owner: a teammate of the owner's for each opportunity."""
        for company, number, opportunity in self._deals:
            owner = self.owner(company)
            team = self.people.team(owner)
            mate = team[(owner - team[0] + 1 + number) % len(team)]
            yield {"opportunityid": opportunity, "systemuserid": self._oid(mate)}

    def appointments(self) -> Iterator[Row]:
        """Meetings that the CRM knows to be about an opportunity: a quarter of those with a customer who has one."""
        for meeting, _ in self.tenant.month_meetings(self.start, self.end):
            people = (meeting.organizer, *(attendee.person for attendee in meeting.attendees))
            deal = self._regarding(people, meeting.uid) if meeting.uid & 3 == 0 else None
            if deal:
                yield {
                    "activityid": guid(self.seed, "appointment", meeting.uid),
                    "globalobjectid": ical_uid(meeting),
                    "scheduledstart": iso(meeting.start),
                    "_regardingobjectid_value": deal,
                    "regarding_type": "opportunity",
                }

    def emails(self) -> Iterator[Row]:
        """Emails that a seller tracked in the CRM as about an opportunity."""
        for stream in self.streams.all():
            if stream.kind != "client":
                continue
            for third in range(third_of(self.start), third_of(self.end - 1) + 1):
                for email in self.tenant.mail.begun(stream, third):
                    if email.key & 15 or email.kind != MESSAGE or not email.message_id or not email.sender:
                        continue
                    deal = self._regarding((email.sender, *email.to), email.conversation)
                    if deal:
                        yield {
                            "activityid": guid(self.seed, "email", email.key),
                            "messageid": email.message_id,
                            "_regardingobjectid_value": deal,
                            "regarding_type": "opportunity",
                        }

    def _regarding(self, people: Iterable[Recipient], chance: int) -> str | None:
        """An opportunity of the first of these people whose company has one."""
        for person in people:
            deals = self._deals_by_domain.get(person.canonical.partition("@")[2], ())
            if deals:
                return deals[chance % len(deals)]
        return None

    @cached_property
    def _deals_by_company(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for company, _, opportunity in self._deals:
            found.setdefault(company, []).append(opportunity)
        return found

    @cached_property
    def _deals_by_domain(self) -> dict[str, list[str]]:
        return {
            self.people.newsletter(company, "news").canonical.partition("@")[2]: deals
            for company, deals in self._deals_by_company.items()
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
                    if (
                        begin >= self.tenant.now
                        or not user.active_at(begin)
                        or not self.streams.active(relation, begin)
                    ):
                        continue
                    yield self._call(rng.getrandbits(64), begin, index, contact)

    def _call(self, chance: int, begin: int, index: int, contact: Contact) -> Row:
        user = self.people.users[index]
        minutes = 3 + chance % 40
        outgoing = chance >> 8 & 3 != 0
        caller, called = (user.mail, contact.address) if outgoing else (contact.address, user.mail)
        deals = self._deals_by_company.get(contact.company, ())
        regarding = deals[chance % len(deals)] if deals and chance >> 12 & 3 == 0 else None
        return {
            "activityid": guid(self.seed, "call", chance),
            "directioncode": "true" if outgoing else "false",
            "actualstart": iso(begin),
            "actualend": iso(begin + minutes * MINUTE),
            "actualdurationminutes": minutes,
            "from_address": caller,
            "to_addresses": called,
            "_regardingobjectid_value": regarding,
            "regarding_type": "opportunity" if regarding else None,
            "_ownerid_value": user.oid,
            "statecode": 1,
        }

    def user_roles(self) -> Iterator[Row]:
        for index in self.people.members:
            user = self.people.users[index]
            manager = index == self.people.team(index)[0]
            yield {
                "user": user.mail,
                "role": "Sales Manager" if manager else "Salesperson",
                "systemuserid": user.oid,
                "fullname": user.display_name,
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
