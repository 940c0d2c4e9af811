"""Addresses as the product compares them (N1, N2, B7). Pure.

`lake/models/functions.sql` has the same rules for plain addresses in SQL; everything else comes here.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import idna

MAX_LENGTH = 320
X500 = "x500:"
"""Begins the key of an Exchange legacy DN; the directory lists such keys among a user's addresses."""

_INSIDE_ANGLES = re.compile(r"<([^<>]*)>")
_PREFIX = re.compile(r"(?:mailto|smtp):", re.IGNORECASE)
_LEGACY_DN = re.compile(r"(?:(?:x500|ex):)?(/o=.+)", re.IGNORECASE | re.DOTALL)
_QUOTES = "'\"`‘’“”"
_LOCAL = re.compile(r"[^\s\x00-\x20\x7f<>@]+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

BULK_LOCAL_PART = re.compile(
    r"(?:no-?reply|do-not-reply|donotreply|mailer-daemon|postmaster|bounces?|newsletter|notifications?)(?:[-+.].*)?"
)
"""B7: local parts that only machines write from, with or without a suffix."""


def normalize_address(raw: str | None) -> str | None:
    """N1: one lower-case `local@domain`, its domain in IDNA ASCII form; or `x500:` and the lower-case legacy DN, which
    only the directory can turn into an address; or None (unresolved)."""
    if raw is None:
        return None
    text = raw.strip()
    inside = _INSIDE_ANGLES.findall(text)
    if inside:
        text = inside[-1]
    text = _bare(text)
    legacy = _LEGACY_DN.fullmatch(text)
    if legacy and "@" not in text:
        return X500 + legacy[1].lower()
    local, at, domain = text.partition("@")
    ascii_domain = _ascii_domain(domain)
    local = local.lower()
    if not at or ascii_domain is None or not _LOCAL.fullmatch(local):
        return None
    address = f"{local}@{ascii_domain}"
    return address if len(address) <= MAX_LENGTH else None


def _bare(text: str) -> str:
    """Without the white space, quotes and scheme that stand around an address, in whatever order they do."""
    while True:
        shorter = text.strip().strip(_QUOTES)
        prefix = _PREFIX.match(shorter)
        if prefix:
            shorter = shorter[prefix.end() :]
        if shorter == text:
            return text
        text = shorter


def _ascii_domain(domain: str) -> str | None:
    """A domain name in lower-case IDNA ASCII form without the root's dot, or None where it is none."""
    if not domain.isascii():
        if len(domain) > MAX_LENGTH:
            return None
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    domain = domain.lower().removesuffix(".")
    return domain if all(_LABEL.fullmatch(label) for label in domain.split(".")) else None


def normalize_domain(raw: str) -> str | None:
    """A mail domain as N1 has it in addresses, with or without an `@` before it; None where it is none."""
    return _ascii_domain(raw.strip().removeprefix("@"))


def domain_of(address: str) -> str:
    """What stands after the `@` of a normalised address."""
    return address.rpartition("@")[2]


def domain_and_parents(domain: str) -> list[str]:
    """A domain and all that it is a sub-domain of, the longest first: `mail.example.com`, `example.com`, `com`."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def lies_in(domain: str, domains: Collection[str]) -> bool:
    """Whether a domain is one of these or a sub-domain of one (N2, O5)."""
    return any(parent in domains for parent in domain_and_parents(domain))


def is_bulk_sender(address: str) -> bool:
    """B7: whether the sender's local part is one of those that only machines write from."""
    return BULK_LOCAL_PART.fullmatch(address.partition("@")[0]) is not None
