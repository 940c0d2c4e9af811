"""An opt-out is in what people read when the command returns, whatever its scope and mode (K5, O2, O4, O6), and under the
next consent (C5)."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.layout import Layout
from relationship_pipeline_tests import factories
from relationship_pipeline_tests.command import refuse, succeed
from relationship_pipeline_tests.end_to_end.small_company import COLLEAGUES, environment, write_company
from relationship_pipeline_tests.operations.company import collect_and_publish, consented

pytestmark = pytest.mark.xdist_group("opt-outs at once")  # the company is made once

ADA, DORA, NEVER_MET = "ada@contoso.com", "dora@northwind.example", "ida@northwind.example"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    write_company(folder)
    crm = folder / "data" / "inbox" / "crm"
    crm.mkdir(parents=True)
    (crm / "contacts.csv").write_text(f"contactid,emailaddress1,fullname\n1,{NEVER_MET},Ida\n")
    (crm / "accounts.csv").write_text("accountid,name,websiteurl\n7,Northwind,https://www.northwind.example\n")
    collect_and_publish(consented(folder / "export", folder / "data"), ["2026-04"])
    return folder


@pytest.fixture
def settings(company: Path, tmp_path: Path) -> dict[str, str]:
    shutil.copytree(company / "data", tmp_path / "data", symlinks=True)
    return environment(company)


def published(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "data" / "published" / "salesperson.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


INTRODUCERS = "select distinct colleague_email from who_knows_whom"
CONTACTS = "select contact_email from contact_kpis"


@pytest.mark.parametrize("options", [["--scope", "introducer"], ["--mode", "future_only"], []])
def test_k5_whoever_opts_out_is_no_introducer_any_more_when_the_command_returns(options, settings, tmp_path):
    assert (ADA,) in published(tmp_path, INTRODUCERS)
    said = succeed("opt-out", "user", ADA, *options, **settings)
    assert (ADA,) not in published(tmp_path, INTRODUCERS)
    assert ("what was collected is gone" in said) == (not options)


def test_o2_the_opt_out_is_for_the_person_whatever_the_address_becomes_and_so_is_the_opt_in(settings, tmp_path):
    said = succeed("opt-out", "user", ADA, **settings)
    assert "nobody in the directory" not in said
    renamed = "ada.jones@contoso.com"
    shutil.copytree(settings["RELATIONSHIP_DATA_CONNECT_DIR"], tmp_path / "export")
    settings = environment(tmp_path)
    users = [factories.user(address) for address in COLLEAGUES]
    users[0] |= {"mail": renamed, "userPrincipalName": renamed, "proxyAddresses": [f"SMTP:{renamed}"]}
    shutil.rmtree(tmp_path / "export" / "User_v1")
    factories.write_export(tmp_path / "export", User_v1=users)
    succeed("refresh", **settings)
    introducers = set(published(tmp_path, INTRODUCERS))
    assert introducers
    assert not introducers & {(ADA,), (renamed,)}
    assert "opted in again" in succeed("opt-in", "user", renamed, **settings)
    assert "nobody is opted out" in succeed("opt-out", "list", **settings)


def test_o2_an_opt_out_that_names_nobody_in_the_directory_is_recorded_and_says_so(settings):
    said = succeed("opt-out", "user", "nobody@contoso.com", **settings)
    assert "nobody in the directory that was read last has this address" in said
    assert "nobody@contoso.com" in succeed("opt-out", "list", **settings)


def test_o4_an_opt_in_says_what_else_leaves_the_person_out_and_how_to_lift_it(settings, tmp_path):
    """Erasing everywhere makes two entries: for the person, and for the address in everybody's copies."""
    assert "COMPLETED" in succeed("erase", "person", ADA, "--scope", "everywhere", **settings)
    inbox = tmp_path / "data" / "inbox" / "opt_outs.csv"
    inbox.write_text(f"address,since\n{ADA},\n")
    said = succeed("opt-in", "user", ADA, **settings)
    assert "opted in again" not in said
    assert (
        f"scope everywhere, by an opt-out of the address; to lift it: relationship-pipeline opt-in address {ADA}"
        in said
    )
    assert "still left out by a line of inbox/opt_outs.csv" in said
    inbox.unlink()
    assert succeed("opt-in", "address", ADA, **settings) == "address opted in again\n"
    assert "nobody is opted out" in succeed("opt-out", "list", **settings)


def test_o6_a_contact_that_only_the_crm_names_is_suppressed_when_the_command_returns(settings, tmp_path):
    assert (NEVER_MET,) in published(tmp_path, CONTACTS)
    assert "nothing that was collected had to go" in succeed("opt-out", "address", NEVER_MET, **settings)
    assert (NEVER_MET,) not in published(tmp_path, CONTACTS)
    assert (DORA,) in published(tmp_path, CONTACTS)


def test_o6_whoever_is_suppressed_does_not_come_back_under_another_address_that_the_crm_lists(settings, tmp_path):
    """All of a contact's outside addresses are one person; a colleague's that somebody entered there stays a colleague's."""
    crm = tmp_path / "data" / "inbox" / "crm"
    private, other = "dora@home.example", "emil@northwind.example"
    (crm / "contacts.csv").write_text(
        "contactid,emailaddress1,emailaddress2,emailaddress3,fullname\n"
        f"1,{private},{DORA},{ADA},Dora\n2,{other},{ADA},,Emil\n"
    )
    succeed("refresh", **settings)
    assert {(private,), (other,)} <= set(published(tmp_path, CONTACTS))
    said = succeed("opt-out", "address", private, **settings)
    assert "and with it 1 more that the CRM lists for the same person" in said
    assert "what was collected is gone" in said
    contacts = set(published(tmp_path, CONTACTS))
    assert not contacts & {(private,), (DORA,)}
    assert (other,) in contacts
    assert (ADA,) in published(tmp_path, INTRODUCERS)
    succeed("opt-in", "address", private, **settings)


def test_n7_whom_the_crm_gives_a_suppressed_company_stays_in_every_table_without_it(settings, tmp_path):
    """Only the domain is suppressed; the contact writes from another. A tie to the company that was hidden stays so (K7)."""
    crm, fay, ben = tmp_path / "data" / "inbox" / "crm", "fay@tailspin.example", "ben@contoso.com"
    (crm / "contacts.csv").write_text(f"contactid,emailaddress1,_parentcustomerid_value\n1,{fay},8\n")
    (crm / "accounts.csv").write_text("accountid,name,websiteurl\n8,Hid,https://www.hid.example\n")
    (crm / "opportunities.csv").write_text("opportunityid,_parentaccountid_value,_parentcontactid_value\n9,8,1\n")
    succeed("refresh", **settings)
    succeed("tie", "hide", "hid.example", ben, **settings)
    before = {table: published(tmp_path, rows.format(fay)) for table, rows in ROWS_OF.items()}
    assert all(before.values())
    assert published(tmp_path, f"select account_id from contact_kpis where contact_email = '{fay}'") == [("8",)]
    succeed("opt-out", "domain", "hid.example", **settings)
    assert {table: published(tmp_path, rows.format(fay)) for table, rows in ROWS_OF.items()} == before
    for accounts in (
        f"select account_id from contact_kpis where contact_email = '{fay}'",
        f"select account_id from graph_nodes where node_id = '{fay}'",
    ):
        assert published(tmp_path, accounts) == [(None,)]
    assert (
        published(tmp_path, "select account_id from account_kpis where account_id in ('8', 'tailspin.example')") == []
    )
    assert published(tmp_path, "select account_id from who_knows_company where account_id = '8'") == []
    assert published(tmp_path, "from daily_activity where record_id in ('8', '9')") == []
    assert (ben,) not in published(
        tmp_path, f"select colleague_email from who_knows_whom where contact_email = '{fay}'"
    )


ROWS_OF = {
    "contact_kpis": "select emails_sent, emails_received, health_score from contact_kpis where contact_email = '{}'",
    "daily_activity": "select day, emails_sent from daily_activity where record_id = '{}' order by day",
    "who_knows_whom": "select colleague_email, strength from who_knows_whom where contact_email = '{}' order by rank",
    "graph_nodes": "select kind, degree from graph_nodes where node_id = '{}'",
    "graph_edges": "select source, strength from graph_edges where target = '{}' order by source",
}


def test_o6_w7_what_is_held_of_a_contact_is_told_for_all_addresses_that_the_crm_lists(settings, tmp_path):
    crm = tmp_path / "data" / "inbox" / "crm"
    (crm / "contacts.csv").write_text(f"contactid,emailaddress1,emailaddress2\n1,dora@home.example,{DORA}\n")
    succeed("refresh", **settings)
    told = json.loads(succeed("export", "person", "dora@home.example", **settings))
    assert told["addresses"] == ["dora@home.example", DORA]
    assert told["held"]["lake"]["email"]


@pytest.mark.parametrize("mode", ["erase", "future_only"])
def test_o1_a_group_whose_members_were_never_read_waits_for_the_refresh_and_says_so(mode, settings, tmp_path):
    said = succeed("opt-out", "group", "0f8fad5b-d9cb-469f-a165-70867728950e", "--mode", mode, **settings)
    assert "relationship-pipeline refresh" in said
    assert (ADA,) in published(tmp_path, INTRODUCERS)


def test_o2_a_refresh_that_cannot_read_the_mail_still_publishes_without_whoever_opted_out(settings, tmp_path):
    shutil.copytree(settings["RELATIONSHIP_DATA_CONNECT_DIR"], tmp_path / "export")
    (tmp_path / "export" / "Message_v1" / "cut.json.gz").write_bytes(b"\x1f\x8b\x08 cut off")
    (tmp_path / "data" / "inbox" / "opt_outs.csv").write_text(f"address,since\n{ADA},\n")
    assert ADA in succeed("opt-out", "list", **settings)
    assert "cut.json.gz" in refuse("refresh", **environment(tmp_path))
    assert (ADA,) not in published(tmp_path, INTRODUCERS)
    colleagues = published(tmp_path, "select person_email from most_contacted where side = 'us'")
    assert (ADA,) not in colleagues
    assert ("ben@contoso.com",) in colleagues


def publish_under_a_new_consent(company: Path, folder: Path) -> None:
    control = ControlLedger(Layout(folder / "data"))
    control.withdraw(control.current().epoch, now=datetime.now(UTC), source="cli", reason="withdrawn")
    again = consented(company / "export", folder / "data")
    assert control.current().state is ConsentState.GRANTED
    collect_and_publish(again, ["2026-04"])


@pytest.mark.parametrize(("kind", "subject"), [("address", NEVER_MET), ("domain", "northwind.example")])
def test_c5_a_contact_suppressed_under_an_earlier_consent_is_not_brought_back_by_the_crm(
    kind, subject, company, settings, tmp_path
):
    succeed("opt-out", kind, subject, **settings)
    publish_under_a_new_consent(company, tmp_path)
    contacts = {address for (address,) in published(tmp_path, CONTACTS)}
    assert "fay@tailspin.example" in contacts
    assert NEVER_MET not in contacts
    assert (DORA in contacts) == (kind == "address")
    domains = published(tmp_path, "select domain from account_kpis")
    assert (("northwind.example",) in domains) == (kind == "address")
    assert "earlier consent, whom they name not being kept: 1" in succeed("opt-out", "list", **settings)


def test_c5_o4_a_contact_opted_out_everywhere_as_a_user_is_not_collected_under_the_next_consent(
    company, settings, tmp_path
):
    succeed("opt-out", "user", DORA, "--scope", "everywhere", **settings)
    publish_under_a_new_consent(company, tmp_path)
    contacts = published(tmp_path, CONTACTS)
    assert ("fay@tailspin.example",) in contacts
    assert (DORA,) not in contacts
