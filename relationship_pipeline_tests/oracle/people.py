"""N2: who is in scope, who is internal, who is outside; and one name for one person.

A person is written as one address: a user as the primary address, a CRM contact with several addresses as the first.

Readings:

- A user in scope is a User_v1 row whose userType is not Guest (null is a member); disabled accounts included, since
  N2 does not leave them out (K5 does, for introducers).
- The primary address is the first that resolves among `mail`, the `SMTP:` proxy address, the principal name and the
  other proxy addresses. A user without any is in scope all the same, under `mail` or the principal name as it stands.
- An address that two users claim belongs to the user with the smaller id.
- "Unless the directory maps it": any text a user row gives as an address, X500 names and malformed addresses alike,
  maps to that user when it is the same after trimming, peeling and lower-casing.
"""

from dataclasses import dataclass

from relationship_pipeline_tests.oracle.addresses import is_below, normalise, peel


@dataclass
class Person:
    """A user in scope."""

    mailbox: str
    address: str
    name: str | None
    enabled: bool


class People:
    """The directory of an export: addresses to persons, and the side each person stands on."""

    def __init__(self, user_rows, internal_domains, contact_addresses=()):
        """`contact_addresses` lists the addresses of each CRM contact, the first of each list standing for all."""
        self.internal_domains = [domain.lower() for domain in internal_domains]
        self.users = {}
        self.by_mailbox = {}
        self.alias = {}
        for row in sorted(user_rows, key=lambda row: str(row.get("id"))):
            if row.get("id") and (row.get("usertype") or "Member").lower() != "guest":
                self._add_user(row)
        for addresses in contact_addresses:
            outside = [address for address in addresses if self.outside(self.person(address))]
            first_known = next((self.alias[address] for address in outside if address in self.alias), None)
            for address in outside:
                self.alias.setdefault(address, first_known or outside[0])

    def _add_user(self, row):
        proxies = row.get("proxyaddresses") or []
        primary_proxies = [proxy for proxy in proxies if proxy.startswith("SMTP:")]
        spellings = [row.get("mail"), *primary_proxies, row.get("userprincipalname"), *proxies]
        spellings = [raw for raw in spellings if peel(raw)]
        mailbox = row["id"].lower()
        resolved = [normalise(raw) for raw in spellings if normalise(raw)]
        primary = resolved[0] if resolved else peel(spellings[0]) if spellings else mailbox
        enabled = row.get("accountenabled") is not False
        person = Person(mailbox, primary, row.get("displayname"), enabled)
        self.users.setdefault(primary, person)
        self.by_mailbox[mailbox] = self.users[primary]
        for raw in spellings:
            self.alias.setdefault(normalise(raw) or peel(raw), primary)

    def address(self, raw):
        """N1 with the directory's help: the normalised address, an X500 name as its user's; None if unresolved."""
        address = normalise(raw)
        return address if address else self.alias.get(peel(raw))

    def person(self, address):
        """The one address that stands for the person who has `address` (None stays None)."""
        return self.alias.get(address, address)

    def in_scope(self, person):
        return person in self.users

    def outside(self, person):
        """Whether a person is a contact: neither in scope nor in an internal domain nor below one."""
        if person is None or self.in_scope(person):
            return False
        return not is_below(person.split("@")[1], self.internal_domains)
