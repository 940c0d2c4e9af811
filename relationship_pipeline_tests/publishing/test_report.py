from __future__ import annotations

import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.errors import ConsentRefused, Refused
from relationship_pipeline.publishing import publish as publishing
from relationship_pipeline.publishing import roles
from relationship_pipeline.publishing.connection import report_path
from relationship_pipeline.publishing.report.charts import sparkline, stacked_by_kind, stacked_by_month, ticks
from relationship_pipeline.publishing.report.page import build_reports
from relationship_pipeline.schemas import KPIS, WHO_KNOWS_WHOM
from relationship_pipeline_tests.publishing.tenants import AS_OF, Rows, Tenant, company, tenant


def report(made: Tenant, role: str = "salesperson") -> str:
    made.publish()
    build_reports(made.layout, made.epoch.epoch, made.settings, made.fence)
    return report_path(made.layout.published, role).read_text(encoding="utf-8")


class Parsed(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tenant(tmp_path_factory.mktemp("report"), company(seed=9, contacts=60)))


def test_a_page_needs_no_network_and_runs_no_script(page: str) -> None:
    tags = Parsed(page).tags
    assert {"html", "svg", "table"} <= {tag for tag, _ in tags}
    assert not {"script", "link", "iframe", "img", "object", "form"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not [name for name in attributes if name in ("href", "src", "action", "xlink:href") or name[:2] == "on"]
    assert "url(" not in page
    assert "@import" not in page
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert len(page) < 300_000


def test_a_page_shows_portfolio_quiet_contacts_accounts_and_batches(page: str) -> None:
    rows = company(seed=9, contacts=60)
    text = Parsed(page).text
    for heading in ("Portfolio by health", "Going quiet", "Top accounts", "Batch quality"):
        assert heading in text
    assert "20 Nov 2026, 06:30 UTC" in text
    assert all(account["account_name"] in text for account in rows["account_kpis"])
    assert f"{len(rows['alerts'])} going quiet" in text
    assert "1 of 13 months is partial" in text
    assert "Must not be used for employment decisions" in text
    assert "no sentiment" in text
    assert page.count('class="spark"') == len(rows["account_kpis"])


def test_V4_a_page_names_no_colleague(page: str) -> None:
    assert "home.example" not in page


def test_charts_come_in_two_sizes_and_say_what_they_show(page: str) -> None:
    assert page.count('<div class="wide">') == page.count('<div class="narrow">') == 3
    assert all(attributes.get("aria-label") for _, attributes in Parsed(page).tags if attributes.get("role") == "img")
    assert 'content="width=device-width, initial-scale=1"' in page


def test_a_name_of_an_outsider_stays_text(tmp_path: Path) -> None:
    rows = company(contacts=20)
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(1)>"
    for row in rows["contact_kpis"]:
        row["contact_name"] = evil
    for row in rows["account_kpis"]:
        row["account_name"] = evil
    page = report(tenant(tmp_path, rows))
    parsed = Parsed(page)
    assert not {"script", "img"} & {tag for tag, _ in parsed.tags}
    assert "alert(1)" in parsed.text


@pytest.mark.parametrize("rows", [{}, {"batches": company(contacts=1)["batches"]}, company(contacts=1, accounts=1)])
def test_a_page_without_data_says_so(tmp_path: Path, rows: Rows) -> None:
    text = Parsed(report(tenant(tmp_path, rows))).text
    assert "Going quiet" in text
    if not rows:
        assert "No health scores have been computed yet." in text
        assert "Nobody is going quiet." in text
        assert "No month has been read yet." in text


def test_health_that_is_not_built_yet_leaves_the_rest(tmp_path: Path) -> None:
    rows = company(contacts=5)
    for table in ("contact_kpis", "opportunity_kpis", "lead_kpis", "account_kpis"):
        for row in rows.get(table, []):
            row.update(health_state=None, health_score=None)
    rows["health_history"], rows["alerts"] = [], []
    text = Parsed(report(tenant(tmp_path, rows))).text
    assert "0 contacts with a score" in text
    assert "No health scores have been computed yet." in text
    assert "Top accounts" in text


def test_V1_only_roles_with_kpis_have_a_page_and_it_goes_with_the_grant(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=5))
    roles.grant(made.ledger, "network", WHO_KNOWS_WHOM)
    roles.grant(made.ledger, "analyst", KPIS)
    report(made)
    pages = {path.stem for path in made.epoch.published.glob("*.html")}
    assert pages == {"analyst", "sales_manager", "salesperson"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.epoch.published.iterdir()} == {0o600}
    roles.revoke(made.ledger, "analyst", KPIS)
    publishing.unpublish(made.layout, "analyst", made.epoch.epoch)
    assert not report_path(made.epoch.published, "analyst").exists()
    roles.revoke(made.ledger, "salesperson", KPIS)
    report_path_of_manager = report_path(made.epoch.published, "sales_manager")
    build_reports(made.layout, made.epoch.epoch, made.settings, made.fence)
    assert not report_path(made.epoch.published, "salesperson").exists()
    assert report_path_of_manager.exists()
    assert list(made.epoch.tmp.iterdir()) == []


def test_no_page_appears_after_a_withdrawal_or_before_publishing(tmp_path: Path) -> None:
    made = tenant(tmp_path, company(contacts=5))
    with pytest.raises(Refused, match="nothing is published"):
        build_reports(made.layout, made.epoch.epoch, made.settings, made.fence)
    made.publish()
    made.ledger.change_state(made.epoch.epoch, ConsentState.WITHDRAWN, now=AS_OF, reason="test")
    with pytest.raises(ConsentRefused):
        build_reports(made.layout, made.epoch.epoch, made.settings, made.fence)
    assert list(made.epoch.published.glob("*.html")) == []
    assert list(made.epoch.tmp.iterdir()) == []


def test_bars_carry_their_values_as_tooltips() -> None:
    chart = stacked_by_month(["2025-12", "2026-01"], {"Good": [3, 1200], "Poor": [1, 0]}, "Contacts", width=500)
    assert "<title>Dec · Good: 3</title>" in chart.wide
    assert "<title>Jan · Good: 1\u202f200</title>" in chart.wide
    kinds = stacked_by_kind(["Contacts", "Leads"], {"Good": [3, 0], "Poor": [1, 0]}, "Share", width=500)
    assert "<title>Contacts · Good: 75 %</title>" in kinds.narrow


@pytest.mark.parametrize("values", [[0] * 52, [1], [10**9, 0], list(range(52))])
def test_a_sparkline_draws_any_year(values: list[int]) -> None:
    drawn = sparkline(values)
    assert drawn.startswith("<svg")
    assert "nan" not in drawn


@given(st.integers(0, 10**12))
def test_axes_have_few_round_numbers_that_hold_the_largest_value(largest: int) -> None:
    found = ticks(largest)
    assert 3 <= len(found) <= 6
    assert found[0] == 0
    assert largest <= found[-1] <= max(2, 2.5 * largest)
