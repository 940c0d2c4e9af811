"""N1 and N11: how an address is written, and which registrable domain it belongs to.

Readings where product.md leaves room:

- `<…>`: the last closed pair counts; an unclosed `<` is just a character, and makes the address unresolved.
- Prefixes and quotes are peeled until nothing changes, so `'MAILTO:a@b.c'` and `mailto:'a@b.c'` are the same address.
  A quote at one end only is peeled too; one inside is part of the address.
- "One `local@domain`": exactly one `@`, both sides filled, no white space, control character or angle bracket, no empty
  label in the domain. A domain of one label is a domain (it has no registrable domain, hence no account).
- IDNA: UTS 46 mapping, applied only to domains with non-ASCII characters, so that `under_score.example` stays.
- The registrable domain of a name that is itself a public suffix is null.
"""

import re
from functools import cache

import idna
from publicsuffixlist import PublicSuffixList

MAX_LENGTH = 320

_FREE_MAIL = """
aol.com att.net bellsouth.net btinternet.com comcast.net cox.net earthlink.net excite.com fastmail.com free.fr
gmail.com gmx.at gmx.ch gmx.de gmx.net googlemail.com hotmail.co.uk hotmail.com hotmail.de hotmail.fr icloud.com
juno.com laposte.net libero.it live.com live.co.uk mac.com mail.com mail.ru me.com mindspring.com msn.com
netscape.net netzero.net orange.fr outlook.com outlook.de pacbell.net pm.me prodigy.net proton.me protonmail.com
qq.com rediffmail.com rocketmail.com sbcglobal.net t-online.de verizon.net wanadoo.fr web.de yahoo.ca
yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.de yahoo.fr yandex.com yandex.ru ymail.com zoho.com
126.com 163.com
"""
# Lists differ on which providers they name: `recount` takes the list to compare with as an argument.
FREE_MAIL_DOMAINS = frozenset(_FREE_MAIL.split())

_SUFFIXES = PublicSuffixList()


@cache
def normalise(raw):
    """N1: one address as text in any client's spelling -> `local@domain` in lower case, or None if unresolved."""
    text = peel(raw)
    if text.count("@") != 1 or re.search(r"[\s\x00-\x1f\x7f<>]", text):
        return None
    local, domain = text.split("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    if not local or not all(domain.split(".")):
        return None
    address = f"{local}@{domain}"
    return address if len(address) <= MAX_LENGTH else None


def peel(raw):
    """Trim, take what stands in `<…>`, drop `mailto:`, `smtp:`, `x500:` and surrounding quotes; lower case."""
    text = (raw or "").strip().lower()
    while True:
        before = text
        bracketed = re.findall(r"<([^<>]*)>", text)
        if bracketed:
            text = bracketed[-1].strip()
        for prefix in ("mailto:", "smtp:", "x500:"):
            if text.startswith(prefix):
                text = text[len(prefix) :].strip()
        text = text.strip("'\"").strip()
        if text == before:
            return text


def is_below(domain, domains):
    """Whether `domain` is one of `domains` or a sub-domain of one."""
    return any(domain == parent or domain.endswith("." + parent) for parent in domains)


@cache
def registrable_domain(address):
    """N11: the registrable domain of an address by the public suffix list, private section included, or None."""
    return _SUFFIXES.privatesuffix(address.split("@")[1])
