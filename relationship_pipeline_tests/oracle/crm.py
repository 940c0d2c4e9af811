"""CRM rows from a folder of CSV files with Dataverse's column names, and what they say about people and records.

Files (all optional, any order of columns, further columns ignored):

    accounts          accountid, name, websiteurl, emailaddress1..3, _primarycontactid_value
    contacts          contactid, fullname, emailaddress1..3, _parentcustomerid_value
    opportunities     opportunityid, name, _parentaccountid_value, _parentcontactid_value, _customerid_value,
                      _ownerid_value, statecode, estimatedvalue
    leads             leadid, fullname, companyname, emailaddress1..3, _ownerid_value, statecode
    stakeholders      record_type (opportunity or lead), record_id, contactid
    opportunity_team  opportunityid, systemuserid                    (the sales team)
    phonecalls        activityid, from_address, to_addresses (`;`), directioncode (true is outgoing), actualstart,
                      actualdurationminutes, _regardingobjectid_value, regarding_type
    appointments      globalobjectid (the iCalUId), scheduledstart, _regardingobjectid_value, regarding_type
    emails            messageid (the internetMessageId), _regardingobjectid_value, regarding_type

The last two only say what an Exchange item is regarding; they are no activities of their own.

Readings where the specification leaves room:

- A contact's addresses are one person, known by the first that is outside; contacts that share an address are one
  person too, the smaller contactid coming first. A contact without an outside address has no row.
- An owner or team member is a user in scope by directory object id or by address, else nobody.
- An outside address with no CRM contact that has a parent account belongs to the CRM account of the same registrable
  domain (of websiteurl, else of its addresses; free mail excepted; the smaller accountid), else to its domain.
- An account's outside side is every contact with its account_id and its primary contact. Every CRM account has a row.
- The customer contact of an opportunity is _parentcontactid_value, and _customerid_value where that is a contact. Its
  account is _parentaccountid_value, else _customerid_value where that is an account.
- The account's primary contact counts for an opportunity only in what is regarding it, and then only with somebody of
  the team; any other activity regarding a record counts for it whoever takes part.
- `opportunities` of a contact counts those where he is customer contact or stakeholder, of an account those that are
  its own; all states.
- A call counts in full minutes on both sides, at `actualstart`; one without a start is left out, one without anybody
  in scope counts only for what it is regarding.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from relationship_pipeline_tests.oracle.activities import Activity
from relationship_pipeline_tests.oracle.addresses import normalise, registrable_domain
from relationship_pipeline_tests.oracle.mail import internet_message_key
from relationship_pipeline_tests.oracle.times import instant


@dataclass
class Crm:
    """The rows of each file, keys in lower case, blanks as None."""

    tables: dict[str, list[dict]]

    def rows(self, table, key):
        """The rows of a file that have a key, sorted by it."""
        return sorted((row for row in self.tables.get(table, []) if row.get(key)), key=lambda row: row[key])

    def by_id(self, table, key):
        return {row[key]: row for row in self.rows(table, key)}


def read_crm(folder):
    """Read `<table>.csv` files of a folder into a `Crm`."""
    tables = {}
    for path in sorted(Path(folder).glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as lines:
            tables[path.stem.lower()] = [
                {(name or "").strip().lower(): (value or "").strip() or None for name, value in row.items()}
                for row in csv.DictReader(lines)
            ]
    return Crm(tables)


def addresses_of(row):
    """The resolved addresses of emailaddress1..3, in that order, each once."""
    found = [normalise(row.get(f"emailaddress{number}")) for number in (1, 2, 3)]
    return list(dict.fromkeys(address for address in found if address))


def contact_persons(crm, people):
    """contactid -> the address that stands for the contact; contacts without an outside address are left out."""
    persons = {}
    for row in crm.rows("contacts", "contactid"):
        outside = [person for person in map(people.person, addresses_of(row)) if people.outside(person)]
        if outside:
            persons[row["contactid"]] = outside[0]
    return persons


def account_domain(row, free_mail):
    """The registrable domain of an account's web site, else of its addresses, else None."""
    candidates = []
    if row.get("websiteurl"):
        url = row["websiteurl"]
        host = urlsplit(url if "//" in url else "//" + url).hostname
        candidates.append(registrable_domain(f"any@{host}") if host else None)
    candidates += [registrable_domain(address) for address in addresses_of(row)]
    return next((domain for domain in candidates if domain and domain not in free_mail), None)


def user(value, people):
    """The person in scope whom an owner or team column names, as a set of one or none."""
    if not value:
        return set()
    if value.lower() in people.by_mailbox:
        return {people.by_mailbox[value.lower()].address}
    person = people.person(people.address(value))
    return {person} if people.in_scope(person) else set()


def regarding_links(crm, persons):
    """-> ({message key: links}, {(iCalUId, start or None): links}); a link is (record type, record id)."""
    emails, meetings = {}, {}
    for row in crm.tables.get("emails", []):
        emails.setdefault(internet_message_key(row.get("messageid")), set()).update(_regarding(row, persons))
    for row in crm.tables.get("appointments", []):
        key = row.get("globalobjectid"), instant(row.get("scheduledstart"))
        meetings.setdefault(key, set()).update(_regarding(row, persons))
    return emails, meetings


def _regarding(row, persons):
    kind, record = (row.get("regarding_type") or "").lower(), row.get("_regardingobjectid_value")
    if kind == "contact":
        record = persons.get(record)
    return {(kind, record)} if kind and record else set()


def phone_calls(crm, people, persons):
    """The calls with a start as activities; a call regarding a contact links to the contact's address."""
    calls = []
    for row in crm.rows("phonecalls", "activityid"):
        start = instant(row.get("actualstart"))
        if start is None:
            continue
        parties = [row.get("from_address"), *(row.get("to_addresses") or "").split(";")]
        ends = {people.person(people.address(raw)) for raw in parties if raw}
        calls.append(
            Activity(
                kind="phone_call",
                at=start,
                by_us=(row.get("directioncode") or "").lower() in ("true", "1"),
                inside={person for person in ends if people.in_scope(person)},
                outside={person for person in ends if people.outside(person)},
                key=row["activityid"],
                minutes=float(row.get("actualdurationminutes") or 0),
                regarding=_regarding(row, persons),
            )
        )
    return calls
