"""Which account an outside address belongs to (N11): the CRM's, else the registrable domain of its mail.

Plain values in and out; the registrable domain comes from publicsuffixlist with its private section, whose list is part
of the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relationship_pipeline.domain.addresses import domain_and_parents, normalize_domain

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@cache
def packaged_free_mail() -> frozenset[str]:
    """Domains of well-known free mail providers, lower case; lines of `domain/free_mail.txt` without `#`."""
    text = (files("relationship_pipeline.domain") / "free_mail.txt").read_text(encoding="utf-8")
    return frozenset(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))


def registrable_domain(domain: str) -> str | None:
    """The registrable domain by the public suffix list, private section included; None for a suffix itself."""
    return _suffixes().privatesuffix(domain)


@dataclass(frozen=True)
class AccountRules:
    """What decides the account of a domain. `crm_domains`: registrable domain -> CRM account id."""

    free_mail: frozenset[str]
    crm_domains: Mapping[str, str]

    def account_of(self, domain: str) -> str | None:
        """Account id of a mail domain: a CRM account's, else the registrable domain; None for free mail and suffixes."""
        registrable = registrable_domain(domain)
        if registrable is None:
            return None
        within = [parent for parent in domain_and_parents(domain) if len(parent) >= len(registrable)]
        if not self.free_mail.isdisjoint(within):
            return None
        return self.crm_domains.get(registrable, registrable)


def free_mail_domains(more: Iterable[str]) -> frozenset[str]:
    """The packaged list and the domains of the setting."""
    return packaged_free_mail() | {domain.strip().lower() for domain in more}


def domain_of_website(website: str | None) -> str | None:
    """Host of a web address as people write it (`https://www.acme.com/x`, `acme.com`), in the form of mail domains (N1);
    None where there is none."""
    if not website or not website.strip():
        return None
    text = website.strip().lower()
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None
    return normalize_domain(host.strip(".")) if host and "." in host else None
