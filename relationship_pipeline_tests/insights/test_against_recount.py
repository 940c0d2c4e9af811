"""Every table of insights against the independent recount (relationship_pipeline_tests/oracle): N1-N11, K1, K2, B5."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from relationship_pipeline.insights.accounts import packaged_free_mail
from relationship_pipeline_tests.factories import Tenant, tenants
from relationship_pipeline_tests.insights.pipeline import build_all, collect
from relationship_pipeline_tests.oracle import differences, read_crm, read_export, recount

REAL_EXPORT = Path(__file__).parents[2] / ".." / "shared" / "data" / "enron_export"
SLOW = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
OF_THE_READING = {"batches": ("copies_read", "duplicates")}
"""Columns that come from the collection's quality record and are compared in its own tests."""


def compared(tenant: Tenant, root: Path) -> list[str]:
    """Lines that tell where the built tables and the recount differ."""
    export, crm = tenant.write(root)
    options = {"internal_domains": tenant.internal_domains, "as_of": tenant.as_of}
    built = build_all(collect(root / "data", export, tenant.months, crm=crm, **options), tenant.as_of)
    rows = read_crm(crm) if crm else None
    wanted = recount(
        read_export(export), crm=rows, months=tenant.months, free_mail_domains=packaged_free_mail(), **options
    )
    return compare(wanted, built)


def compare(wanted, built):
    spelled = {row["contact_email"] for row in wanted["contact_kpis"] if row["contact_name"] is None}
    built["contact_kpis"] = [
        row | {"contact_name": None} if row["contact_email"] in spelled else row for row in built["contact_kpis"]
    ]
    lines = []
    for table in wanted.keys() & built.keys():
        ignored = OF_THE_READING.get(table, ())
        lines += [f"{table} {line}" for line in differences(table, wanted[table], built[table], ignore=ignored)]
    return lines


@settings(SLOW, max_examples=8)
@given(tenants())
def test_random_tenants_agree_with_the_recount_in_every_column(tenant):
    with TemporaryDirectory() as root:
        assert compared(tenant, Path(root)) == []


@settings(SLOW, max_examples=6)
@given(tenants(with_crm=True))
def test_random_tenants_with_a_crm_agree_with_the_recount_in_every_column(tenant):
    with TemporaryDirectory() as root:
        assert compared(tenant, Path(root)) == []


@pytest.mark.soak
@settings(SLOW, max_examples=300)
@given(tenants(with_crm=True))
def test_many_random_tenants_agree_with_the_recount(tenant):
    with TemporaryDirectory() as root:
        assert compared(tenant, Path(root)) == []


@pytest.mark.skipif(not REAL_EXPORT.exists(), reason="the real export is not at hand")
def test_the_real_export_agrees_with_the_recount(tmp_path):
    as_of = datetime(2002, 2, 1, tzinfo=UTC)
    months = [f"2001-{month:02}" for month in range(2, 13)] + ["2002-01"]
    options = {"internal_domains": ["enron.com"], "as_of": as_of}
    built = build_all(collect(tmp_path / "data", REAL_EXPORT, months, **options), as_of)
    wanted = recount(read_export(REAL_EXPORT), months=months, free_mail_domains=packaged_free_mail(), **options)
    assert compare(wanted, built) == []
    scores = {row["contact_email"]: row["health_score"] for row in built["contact_kpis"]}
    for contact in {row["record_id"] for row in built["health_components"] if row["record_type"] == "contact"}:
        parts = [row["points"] for row in built["health_components"] if row["record_id"] == contact]
        assert sum(parts) == scores[contact]


@pytest.mark.skipif(not REAL_EXPORT.exists(), reason="the real export is not at hand")
def test_a_window_that_cuts_months_counts_their_exact_parts(tmp_path):
    """N5: an `as_of` in the middle of a month, with data before and after the window."""
    as_of = datetime(2001, 11, 17, 13, 21, 5, tzinfo=UTC)
    months = [f"2001-{month:02}" for month in range(9, 13)]
    options = {"internal_domains": ["enron.com"], "as_of": as_of}
    built = build_all(collect(tmp_path / "data", REAL_EXPORT, months, **options), as_of)
    wanted = recount(read_export(REAL_EXPORT), months=months, free_mail_domains=packaged_free_mail(), **options)
    built["batches"], wanted["batches"] = [], []
    assert compare(wanted, built) == []
    later = as_of.replace(year=2002) + timedelta(days=3)
    context = collect(tmp_path / "data", REAL_EXPORT, months, internal_domains=["enron.com"], as_of=later)
    wanted = recount(
        read_export(REAL_EXPORT),
        months=months,
        free_mail_domains=packaged_free_mail(),
        internal_domains=["enron.com"],
        as_of=later,
    )
    built = build_all(context, later)
    built["batches"], wanted["batches"] = [], []
    assert compare(wanted, built) == []
