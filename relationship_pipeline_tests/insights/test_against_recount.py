"""Every table of insights against the independent recount (relationship_pipeline_tests/oracle): N1-N11, health, K1-K4,
B5. The whole of the real export is compared in end_to_end/test_real_mail.py."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relationship_pipeline.insights import build
from relationship_pipeline.insights.accounts import packaged_free_mail
from relationship_pipeline.settings import HealthSettings
from relationship_pipeline_tests.factories import Tenant, tenants
from relationship_pipeline_tests.insights.pipeline import build_all, collect
from relationship_pipeline_tests.oracle import differences, read_crm, read_export, recount
from relationship_pipeline_tests.oracle.health import HealthRules

REAL_EXPORT = Path(__file__).parents[2] / ".." / "shared" / "data" / "enron_export"
SLOW = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def health_rules(draw):
    """Settings of health, as the recount takes them."""
    weights = {kind: draw(st.integers(3, 9)) for kind in ("email", "meeting", "phone_call")}
    good_from, fair_from = draw(st.sampled_from([(60, 40), (50, 49), (30, 10)]))
    return HealthRules(
        weights=weights,
        cadence=draw(st.sampled_from([1, 7, 30])),
        good_from=good_from,
        fair_from=fair_from,
        accounts=draw(st.booleans()),
    )


def settings_of(rules):
    return HealthSettings(
        **{f"weight_{kind}": weight for kind, weight in rules.weights.items()},
        cadence_days=rules.cadence,
        good_from=rules.good_from,
        fair_from=rules.fair_from,
        accounts=rules.accounts,
    )


def compared(tenant: Tenant, rules: HealthRules) -> list[str]:
    """Lines that tell where the built tables and the recount differ."""
    options = {"internal_domains": tenant.internal_domains, "as_of": tenant.as_of}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        export, crm = tenant.write(root)
        context = collect(root / "data", export, tenant.months, crm=crm, health=settings_of(rules), **options)
        built = build_all(context, tenant.as_of)
        wanted = recount(
            read_export(export),
            crm=read_crm(crm) if crm else None,
            months=tenant.months,
            free_mail_domains=packaged_free_mail(),
            health_rules=rules,
            **options,
        )
    return compare(wanted, built)


def compare(wanted, built):
    return [
        f"{table} {line}"
        for table in sorted(wanted.keys() & built.keys())
        for line in differences(table, wanted[table], built[table])
    ]


@settings(SLOW, max_examples=4)
@given(tenants(), health_rules())
def test_random_tenants_agree_with_the_recount_in_every_column(tenant, rules):
    assert compared(tenant, rules) == []


@settings(SLOW, max_examples=2)
@given(tenants())
def test_ties_summed_in_many_slices_agree_with_the_recount(tenant):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "PAIRS_AT_ONCE", 5)
        assert compared(tenant, HealthRules()) == []


@settings(SLOW, max_examples=6)
@given(tenants(with_crm=True), health_rules())
def test_random_tenants_with_a_crm_agree_with_the_recount_in_every_column(tenant, rules):
    assert compared(tenant, rules) == []


@pytest.mark.soak
@settings(SLOW, max_examples=300)
@given(tenants(with_crm=True, max_emails=40), health_rules())
def test_many_random_tenants_agree_with_the_recount(tenant, rules):
    assert compared(tenant, rules) == []


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
