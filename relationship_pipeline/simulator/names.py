"""Names of people and companies: Faker's word lists, picked by hash instead of by Faker's own generator.

Companies live under the reserved top-level domain `.example`, so that no made-up contact has a real company's address.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from relationship_pipeline.simulator.hashing import mix

_FOREIGN = ("de_DE", "fr_FR", "es_ES", "pl_PL", "sv_SE")
_COMPANY_FORMS = ("{} Group", "{} and Sons", "{} Industries", "{} Partners", "{} Logistics", "{} Systems", "{} Foods",
                  "{} Energy", "{} Insurance", "{} Labs", "{} Medical", "{} Textiles")  # fmt: skip
_FOREIGN_FORMS = ("{} GmbH", "{} AG", "{} KG", "{} Werke", "{} Bau", "{} Technik")
_STEP = 7919  # a prime that divides neither list's length
DEPARTMENTS = ("Sales", "Marketing", "Customer Success", "Finance", "Engineering", "Legal", "Operations", "M&A")
TITLES = ("Account Executive", "Analyst", "Consultant", "Director", "Engineer", "Manager", "Specialist", "Coordinator")
CONTACT_TITLES = ("Head of Procurement", "Buyer", "Chief Financial Officer", "Project Manager", "Plant Manager",
                  "IT Director", "Office Manager", "Legal Counsel")  # fmt: skip
FREE_MAIL = ("gmail.com", "outlook.com", "yahoo.com", "gmx.de", "icloud.com")


@dataclass(frozen=True, slots=True)
class PersonName:
    given: str
    surname: str

    @property
    def display(self) -> str:
        return f"{self.given} {self.surname}"


@cache
def _lists(locale: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and last names of a Faker locale, in an order that does not depend on the run."""
    provider = import_module(f"faker.providers.person.{locale}").Provider

    def words(value: object) -> tuple[str, ...]:
        chosen = list(value) if hasattr(value, "__iter__") else []
        return tuple(sorted({str(word) for word in chosen if str(word)}))

    first = words(getattr(provider, "first_names", ()))
    if not first:
        first = words((*provider.first_names_male, *provider.first_names_female))
    last = words(getattr(provider, "last_names", ())) or words(provider.last_names_unisex)
    return first, last


def person_name(chance: int, international: float) -> PersonName:
    """A name for 64 bits of chance; `international` of all have letters beyond ASCII more often than not."""
    locale = "en_US"
    if (chance & 0xFFFF) < international * 65536:
        locale = _FOREIGN[(chance >> 16) % len(_FOREIGN)]
    first, last = _lists(locale)
    more = mix(chance)
    return PersonName(first[more % len(first)], last[(more >> 24) % len(last)])


def ascii_local(text: str) -> str:
    """Letters, digits and dots of a name as they stand in an address: accents dropped, `ß` as `ss`."""
    plain = text.replace("ß", "ss").replace("ł", "l").replace("Ł", "L").replace("ø", "o").replace("æ", "ae")
    folded = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return "".join(c for c in folded.lower() if c.isalnum() or c in ".-")


def company_name(seed: int, index: int, international: float) -> tuple[str, str]:
    """Name and mail domain of a company, e.g. (`Hartwell Logistics`, `hartwell-logistics.example`).

    Companies of one tenant differ in their domains: each takes its own place in the list of surname x form.
    Internationalised domains keep their letters here; clients see them so in one mail and encoded in another.
    """
    chance = mix(seed ^ mix(index))
    foreign = (chance & 0xFFFF) < international * 65536
    forms = _FOREIGN_FORMS if foreign else _COMPANY_FORMS
    surnames = _lists("de_DE" if foreign else "en_US")[1]
    place = (seed % len(surnames) + index * _STEP) % (len(surnames) * len(forms))
    surname = surnames[place % len(surnames)]
    name = forms[place // len(surnames)].format(surname)
    label = name.lower().replace(" and ", "-").replace(" ", "-").replace("'", "").replace(".", "")
    return name, f"{label}.example"
