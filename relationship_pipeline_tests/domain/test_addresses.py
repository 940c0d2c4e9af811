"""How an address is written and compared (N1, N2), and which senders are machines (B7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.domain.addresses import (
    domain_of,
    is_bulk_sender,
    lies_in,
    normalize_address,
    normalize_domain,
)

ANA = "ana@example.com"


@pytest.mark.parametrize(
    ("raw", "domain"),
    [
        (" Example.COM. ", "example.com"),
        ("@example.com", "example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("*.example.com", None),
        ("a;b", None),
        ("", None),
    ],
)
def test_n1_a_domain_is_written_as_in_addresses(raw, domain):
    assert normalize_domain(raw) == domain
    if domain:
        assert domain_of(normalize_address(f"ana@{raw.strip().removeprefix('@')}")) == domain


@pytest.mark.parametrize(
    "raw",
    [
        "ana@example.com",
        "Ana@Example.COM",
        "  ana@example.com\t\r\n",
        "<ana@example.com>",
        "Ana Lima <ana@example.com>",
        "'Ana Lima' <ana@example.com>",
        '"Lima, Ana" < ana@example.com >',
        "Ana <Ana@Example.com>@GATEWAY",
        "Ana <old name> <ana@example.com>",
        "'ana@example.com'",
        '"ana@example.com"',
        "\"'ana@example.com'\"",
        "“ana@example.com”",
        "'ana@example.com",
        "mailto:ana@example.com",
        "MAILTO:Ana@example.com",
        "smtp:ana@example.com",
        "SMTP:ana@example.com",
        "'mailto:ana@example.com'",
        "mailto:'ana@example.com'",
        "<mailto: ana@example.com>",
        "ana@example.com.",
    ],
)
def test_n1_every_way_a_client_writes_one_address(raw):
    assert normalize_address(raw) == ANA


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("ana+news@example.com", "ana+news@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("a.b..c@example.com", "a.b..c@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@BÜCHER.example", "ana@xn--bcher-kva.example"),
        ("ana@xn--bcher-kva.example", "ana@xn--bcher-kva.example"),
        ("ana@例え.テスト", "ana@xn--r8jz45g.xn--zckzah"),
        ("ÅSA@example.com", "åsa@example.com"),
        ("ana@under_score.example", "ana@under_score.example"),
        ("ana@localhost", "ana@localhost"),
        ("IMCEAEX-_O=X@example.com", "imceaex-_o=x@example.com"),
    ],
)
def test_n1_tags_stay_and_domains_are_ascii(raw, address):
    assert normalize_address(raw) == address


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "   ",
        "<>",
        "''",
        "Ana Lima",
        "undisclosed-recipients:;",
        "@example.com",
        "ana@",
        "ana@@example.com",
        "ana@example.com@example.org",
        "a@example.com, b@example.com",
        "ana lima@example.com",
        "houston <.ward@example.com",
        "ana@exam ple.com",
        "ana@example..com",
        "ana@.example.com",
        "ana@-example.com",
        "ana@[192.0.2.1]",
        "ana@exa\x00mple.com",
        "an\x00a@example.com",
        "ana@" + "ü" * 400 + ".example",
        "x" * 10_000 + "@example.com",
        "x" * 309 + "@example.com",
    ],
)
def test_n1_what_is_not_one_address_is_unresolved(raw):
    assert normalize_address(raw) is None


def test_n1_320_characters_are_the_most():
    longest = "x" * 308 + "@example.com"
    assert len(longest) == 320
    assert normalize_address(longest) == longest


@pytest.mark.parametrize(
    "raw",
    [
        "/O=EXCHANGELABS/OU=EXCHANGE ADMINISTRATIVE GROUP (FYDIBOHF23SPDLT)/CN=RECIPIENTS/CN=ANA",
        "X500:/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=ana",
        "EX:/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=Ana",
        "Ana </o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=ana>",
    ],
)
def test_n1_a_legacy_name_becomes_the_directorys_key(raw):
    assert (
        normalize_address(raw)
        == "x500:/o=exchangelabs/ou=exchange administrative group (fydibohf23spdlt)/cn=recipients/cn=ana"
    )


@given(st.text(max_size=60))
def test_n1_normalising_twice_changes_nothing(raw):
    once = normalize_address(raw)
    assert once is None or normalize_address(once) == once


@given(st.text(max_size=60))
def test_n1_any_text_gives_one_address_or_none(raw):
    address = normalize_address(raw)
    if address is not None and not address.startswith("x500:"):
        assert address.count("@") == 1
        assert len(address) <= 320
        assert domain_of(address).isascii()


@pytest.mark.parametrize(
    ("domain", "internal"),
    [
        ("contoso.com", True),
        ("mail.contoso.com", True),
        ("a.b.contoso.com", True),
        ("notcontoso.com", False),
        ("contoso.com.example", False),
        ("com", False),
        ("", False),
    ],
)
def test_n2_internal_is_a_domain_or_below_it(domain, internal):
    assert lies_in(domain, {"contoso.com"}) is internal


@pytest.mark.parametrize(
    "local",
    [
        "no-reply",
        "noreply",
        "do-not-reply",
        "donotreply",
        "mailer-daemon",
        "postmaster",
        "bounce",
        "bounces",
        "newsletter",
        "notification",
        "notifications",
        "noreply-jobs",
        "bounces+12.34",
        "notifications.weekly",
    ],
)
def test_b7_machine_senders(local):
    assert is_bulk_sender(f"{local}@example.com")


@pytest.mark.parametrize(
    "local", ["ana", "azure-noreply", "newsletters", "noreplyana", "bouncer", "reply", "post.master"]
)
def test_b7_people_are_not_machines(local):
    assert not is_bulk_sender(f"{local}@example.com")
