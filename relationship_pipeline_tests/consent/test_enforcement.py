"""The rules tables, from directory, opt-outs, snapshots, attribute, CSV and role scope (O1-O6, C5, N2, K5)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pyarrow as pa
import pytest

from relationship_pipeline.consent.enforcement import (
    bearer_of,
    groups_needed,
    read_rules,
    recogniser,
    record_memberships,
    rules_fence,
)
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.consent import ConsentState
from relationship_pipeline.domain.optout import EVERYWHERE, Kind, Mode, OptOut, Scope, default_mode, default_scopes
from relationship_pipeline.errors import BadInput, ConsentRefused, Refused, TryAgain
from relationship_pipeline.settings import Settings
from relationship_pipeline_tests.consent.tenant import NOW, directory, user

AMBER, BO, CY = user("amber"), user("bo"), user("cy")


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def epoch(settings):
    return ControlLedger(settings.layout).provide("admin@contoso.example", now=NOW)[0].epoch


def entry(kind: Kind, subject: str, **changes) -> OptOut:
    made = OptOut(kind, subject, default_scopes(kind), default_mode(kind), made_at=NOW)
    return replace(made, **changes)


def rules_of(settings, epoch, reading, now=NOW, **more):
    return read_rules(settings.layout, epoch, reading, settings, now, **more)


def people(rules) -> dict[str, dict]:
    return {row["address"]: row for row in rules.people.to_pylist()}


def test_c5_on_consent_every_member_user_is_readable_and_in_scope(settings, epoch):
    reading = directory([AMBER, BO], aliases={"id-bo": ["robert@contoso.example", "x500:/o=org/cn=bo"]})
    rules = rules_of(settings, epoch, reading)
    assert rules.readable.to_pylist() == [
        {"mailbox": "id-amber", "since": None, "until": None},
        {"mailbox": "id-bo", "since": None, "until": None},
    ]
    assert set(people(rules)) == {
        "amber@contoso.example",
        "bo@contoso.example",
        "robert@contoso.example",
        "x500:/o=org/cn=bo",
    }
    assert all(row["in_scope"] and row["may_introduce"] and not row["hidden"] for row in people(rules).values())
    assert rules.internal_domains.to_pylist() == [{"domain": "contoso.example"}]


@pytest.mark.parametrize("first, second", [("bo", "adm-bo"), ("adm-bo", "bo")])
def test_n2_an_address_that_two_users_bear_stands_for_one_of_them(settings, epoch, first, second):
    """An administrator's second account has the mail address of the first; the directory gives it to the first."""
    bearers = {"bo": BO, "adm-bo": user("adm-bo", primary_address="bo@contoso.example")}
    reading = directory([bearers[first], bearers[second]])
    given = [row for row in reading.addresses.to_pylist() if row["user_id"] == "id-bo"]
    reading = replace(reading, addresses=pa.Table.from_pylist(given, schema=reading.addresses.schema))
    rows = rules_of(settings, epoch, reading).people.to_pylist()
    assert [(row["address"], row["user_id"]) for row in rows] == [
        ("adm-bo@contoso.example", "id-adm-bo"),
        ("bo@contoso.example", "id-bo"),
    ]


def test_n2_a_guest_takes_no_address_from_a_member(settings, epoch):
    reading = directory([BO, user("guest", is_member=False)], aliases={"id-guest": ["robert@contoso.example"]})
    bo = user("bo", user_principal_name="robert@contoso.example")
    reading = replace(reading, users=directory([bo, user("guest", is_member=False)]).users)
    assert people(rules_of(settings, epoch, reading))["robert@contoso.example"]["user_id"] == "id-bo"


def test_o1_amber_joins_mergers_and_comes_back(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.GROUP, "g-mergers"))
    assert groups_needed(settings.layout, epoch, settings) == ["g-mergers"]
    for day, members in enumerate([[], ["id-amber"], ["id-amber"], []]):
        reading = directory([AMBER, BO], groups={"g-mergers": members}, read_at=NOW + timedelta(days=day))
        record_memberships(settings.layout, epoch, reading, ["g-mergers"])
        rules = rules_of(settings, epoch, reading, reading.read_at)
        if members:
            assert rules.readable_mailboxes == {"id-bo"}
            assert people(rules)["amber@contoso.example"]["in_scope"], "what was collected before stays, and counts"
            assert people(rules)["amber@contoso.example"]["may_introduce"] is False
            assert rules.absences.to_pylist() == [{"user_id": "id-amber", "since": NOW, "until": None}]
            assert not rules.erase_due, "a group is forward only by default"
    mine = [row for row in rules.readable.to_pylist() if row["mailbox"] == "id-amber"]
    assert mine == [
        {"mailbox": "id-amber", "since": None, "until": NOW},
        {"mailbox": "id-amber", "since": NOW + timedelta(days=3), "until": None},
    ]


def test_n2_who_was_in_the_group_when_consent_was_given_never_counts(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.GROUP, "g"))
    OptOuts(settings.layout, epoch).record_snapshot({"g": ["id-amber"]}, NOW)
    rules = rules_of(settings, epoch, directory([AMBER, BO]))
    assert people(rules)["amber@contoso.example"]["in_scope"] is False
    assert rules.absences.num_rows == 0


def test_o1_a_group_opted_out_under_a_live_consent_takes_nothing_from_what_counted_before(settings, epoch):
    later = NOW + timedelta(days=30)
    OptOuts(settings.layout, epoch).add(entry(Kind.GROUP, "g", made_at=later))
    OptOuts(settings.layout, epoch).record_snapshot({"g": ["id-amber"]}, later)
    rules = rules_of(settings, epoch, directory([AMBER, BO]), later)
    assert rules.readable_mailboxes == {"id-bo"}, "since when she is a member nobody knows: nothing more is read"
    assert rules.absences.to_pylist() == [{"user_id": "id-amber", "since": later, "until": None}]


@pytest.mark.parametrize("mode", [Mode.ERASE, Mode.FUTURE_ONLY])
def test_o2_o4_whose_existing_data_goes_never_counts(settings, epoch, mode):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.GROUP, "g", mode=mode))
    opt_outs.record_snapshot({"g": []}, NOW)
    opt_outs.record_snapshot({"g": ["id-amber"]}, NOW + timedelta(days=1))
    opt_outs.add(entry(Kind.USER, "bo@contoso.example"))
    found = people(rules_of(settings, epoch, directory([AMBER, BO]), NOW + timedelta(days=1)))
    assert found["bo@contoso.example"]["in_scope"] is False
    assert found["amber@contoso.example"]["in_scope"] is (mode is Mode.FUTURE_ONLY)


def test_o1_a_group_that_was_never_read_stops_the_run(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.GROUP, "g-mergers"))
    with pytest.raises(Refused, match="have not been read yet"):
        rules_of(settings, epoch, directory([AMBER]))


def test_o1_an_older_reading_does_not_undo_a_newer_one(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.GROUP, "g"))
    opt_outs.record_snapshot({"g": ["id-amber"]}, NOW)
    opt_outs.record_snapshot({"g": []}, NOW - timedelta(days=1))
    assert rules_of(settings, epoch, directory([AMBER])).readable_mailboxes == frozenset()


def test_o1_whoever_joins_after_the_clock_once_ran_ahead_is_opted_out_from_then_on(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.GROUP, "g"))
    opt_outs.record_snapshot({"g": []}, NOW + timedelta(days=3650))
    for day in (1, 2):
        opt_outs.record_snapshot({"g": ["id-amber"]}, NOW + timedelta(days=day))
    later = NOW + timedelta(days=3)
    assert rules_of(settings, epoch, directory([AMBER]), now=later).readable_mailboxes == frozenset()
    opt_outs.record_snapshot({"g": []}, NOW + timedelta(days=3651))
    (row,) = [
        row
        for row in rules_of(settings, epoch, directory([AMBER]), now=NOW + timedelta(days=3652)).readable.to_pylist()
        if row["until"] is not None
    ]
    assert row["until"] == NOW + timedelta(days=1), "what came before she joined may be collected"


def test_o1_a_missing_ledger_refuses_rather_than_showing_nobody_opted_out(settings, epoch):
    settings.layout.epoch(epoch).ledger.unlink()
    with pytest.raises(Refused, match="ledger"):
        rules_of(settings, epoch, directory([AMBER]))


def test_o2_the_three_ways_of_opting_out_by_hand_all_work_and_make_erasure_due(settings, epoch):
    settings = settings.model_copy(
        update={"opt_out": settings.opt_out.model_copy(update={"attribute": "extensionAttribute7"})}
    )
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    settings.layout.inbox.mkdir()
    settings.layout.inbox_opt_outs.write_text("address,since\nROBERT@contoso.example,2026-10-01\n")
    reading = directory(
        [AMBER, BO, user("cy", opt_out_attribute="Out"), user("di", opt_out_attribute="in")],
        aliases={"id-bo": ["robert@contoso.example"]},
    )
    rules = rules_of(settings, epoch, reading)
    assert rules.readable_mailboxes == {"id-di"}
    assert rules.erase_due == {"id-amber": False, "id-bo": False, "id-cy": False}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("mail\nx@y.example\n", "first line must be `address,since`"),
        ("address,since\na@contoso.example,\nnobody,\n", "line 3 has no address"),
        ("address,since\na@contoso.example,soon\n", "line 2: since is not a date"),
    ],
)
def test_o2_a_broken_opt_outs_file_stops_the_run_with_one_line(settings, epoch, content, complaint):
    settings.layout.inbox.mkdir()
    settings.layout.inbox_opt_outs.write_text(content)
    with pytest.raises(BadInput, match=complaint) as caught:
        rules_of(settings, epoch, directory([AMBER]))
    assert "@" not in str(caught.value)


@pytest.mark.parametrize("written", ["\"'Amber, A' <Amber@Contoso.example>\"", "SMTP:amber@contoso.example"])
def test_o2_an_address_in_the_opt_outs_file_may_be_written_as_mail_programs_do(settings, epoch, written):
    settings.layout.inbox.mkdir()
    settings.layout.inbox_opt_outs.write_text(f"address,since\n{written},\n")
    assert rules_of(settings, epoch, directory([AMBER, BO])).readable_mailboxes == {"id-bo"}


def test_o2_the_line_of_a_mistake_is_counted_as_editors_do(settings, epoch):
    settings.layout.inbox.mkdir()
    settings.layout.inbox_opt_outs.write_text("address,since\n\namber@contoso.example,\n\nnobody,\n")
    with pytest.raises(BadInput, match="line 5"):
        rules_of(settings, epoch, directory([AMBER]))


def test_o3_collection_can_be_restricted_to_members_of_a_group(settings, epoch):
    OptOuts(settings.layout, epoch).add_scope_group("g-sales")
    reading = directory([AMBER, BO], groups={"g-sales": ["id-bo"]})
    record_memberships(settings.layout, epoch, reading, groups_needed(settings.layout, epoch, settings))
    rules = rules_of(settings, epoch, reading)
    assert rules.readable_mailboxes == {"id-bo"}
    assert [people(rules)[f"{name}@contoso.example"]["in_scope"] for name in ("amber", "bo")] == [False, True]
    assert OptOuts(settings.layout, epoch).remove_scope_group("g-sales")
    assert rules_of(settings, epoch, reading).readable_mailboxes == {"id-amber", "id-bo"}


def test_o3_by_role_name_needs_to_know_who_holds_it(settings, epoch):
    settings = settings.model_copy(update={"scope": settings.scope.model_copy(update={"roles": ["Salesperson"]})})
    with pytest.raises(BadInput, match="user_roles"):
        rules_of(settings, epoch, directory([AMBER, BO]))
    for amber in ("amber@contoso.example", "id-amber"):
        rules = rules_of(settings, epoch, directory([AMBER, BO]), role_holders={amber})
        assert rules.readable_mailboxes == {"id-amber"}


def test_o4_everywhere_hides_every_address_of_the_person(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "robert@contoso.example", scopes=EVERYWHERE))
    reading = directory([AMBER, BO], aliases={"id-bo": ["robert@contoso.example"]})
    rules = rules_of(settings, epoch, reading)
    assert rules.hidden.column("address").to_pylist() == ["bo@contoso.example", "robert@contoso.example"]
    assert people(rules)["bo@contoso.example"]["hidden"]
    assert rules.erase_due == {"id-bo": True}


def test_o4_introducer_only_leaves_the_mailbox_readable(settings, epoch):
    OptOuts(settings.layout, epoch).add(
        entry(Kind.USER, "bo@contoso.example", scopes=frozenset({Scope.INTRODUCER}), mode=Mode.FUTURE_ONLY)
    )
    row = people(rules := rules_of(settings, epoch, directory([BO])))["bo@contoso.example"]
    assert (row["in_scope"], row["may_introduce"]) == (True, False)
    assert rules.readable_mailboxes == {"id-bo"}


def test_o4_a_group_in_mode_erase_makes_erasure_of_its_members_due(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.GROUP, "g", mode=Mode.ERASE))
    opt_outs.record_snapshot({"g": ["id-amber"]}, NOW)
    assert rules_of(settings, epoch, directory([AMBER, BO])).erase_due == {"id-amber": False}


def test_o5_o6_excluded_addresses_and_domains_are_hidden(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.DOMAIN, "lawfirm.example"))
    opt_outs.add(entry(Kind.ADDRESS, "person@customer.example"))
    rules = rules_of(settings, epoch, directory([AMBER]))
    assert rules.hidden_domains.column("domain").to_pylist() == ["lawfirm.example"]
    assert rules.hidden.column("address").to_pylist() == ["person@customer.example"]
    assert rules.readable_mailboxes == {"id-amber"}


def test_k5_disabled_gone_and_opted_out_people_are_no_introducers_and_guests_are_outside_people(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    reading = directory(
        [AMBER, user("bo", account_enabled=False), user("cy", is_gone=True), user("guest", is_member=False)]
    )
    rules = rules_of(settings, epoch, reading)
    assert not any(row["may_introduce"] for row in people(rules).values())
    assert "guest@contoso.example" not in people(rules)
    assert rules.readable_mailboxes == {"id-bo"}


def test_c5_opt_outs_by_hand_outlive_the_epoch_as_keyed_hashes(settings, epoch):
    layout = settings.layout
    opt_outs = OptOuts(layout, epoch)
    opt_outs.add(entry(Kind.USER, "amber@contoso.example"))
    opt_outs.add(entry(Kind.DOMAIN, "lawfirm.example"))
    opt_outs.add(entry(Kind.ADDRESS, "person@customer.example"))
    opt_outs.add(entry(Kind.GROUP, "g-mergers"))
    ledger = ControlLedger(layout)
    ledger.change_state(epoch, ConsentState.WITHDRAWN, now=NOW, reason="test")
    ledger.change_state(epoch, ConsentState.ERASED, now=NOW, reason="test")
    later, fresh = ledger.provide("admin@contoso.example", now=NOW)
    assert fresh
    control = layout.control_ledger.read_bytes()
    for text in (b"amber@", b"lawfirm", b"person@customer", b"g-mergers"):
        assert text not in control
    rules = rules_of(settings, later.epoch, directory([AMBER, BO]))
    assert rules.readable_mailboxes == {"id-bo"}
    recognise = recogniser(layout, later.epoch)
    assert recognise is not None
    assert recognise(["a@mail.lawfirm.example", "person@customer.example", "x@y.example"]) == [
        "a@mail.lawfirm.example",
        "person@customer.example",
    ]
    assert OptOuts(layout, later.epoch).end(Kind.USER, "amber@contoso.example", NOW), "an opt-in undoes a kept one"
    assert rules_of(settings, later.epoch, directory([AMBER, BO])).readable_mailboxes == {"id-amber", "id-bo"}


def consented_again(settings) -> str:
    """Withdrawn, and consent given anew."""
    ledger = ControlLedger(settings.layout)
    ledger.withdraw(ledger.current().epoch, now=NOW, source="cli", reason="withdrawn")
    return ledger.provide("admin@contoso.example", now=NOW)[0].epoch


def test_c5_o4_an_outside_address_opted_out_everywhere_as_a_user_stays_out_under_the_next_consent(settings, epoch):
    private, other = "amber@home.example", "kim@customer.example"
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, private, scopes=EVERYWHERE))
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, other))
    later = consented_again(settings)
    recognise = recogniser(settings.layout, later, directory([BO]))
    assert recognise([private, other]) == [private], "the other one's scope leaves others' copies as they are"
    rules = rules_of(settings, later, directory([BO]), named_elsewhere=lambda: {private})
    assert rules.hidden.column("address").to_pylist() == [private]


@pytest.mark.parametrize("said_again", [False, True])
def test_o1_c5_what_came_while_she_was_out_under_an_earlier_consent_stays_uncollected_after_the_opt_in(
    settings, epoch, said_again
):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    opt_outs = OptOuts(settings.layout, consented_again(settings))
    back = NOW + timedelta(days=20)
    if said_again:
        opt_outs.add(entry(Kind.USER, "amber@contoso.example", made_at=NOW + timedelta(days=10)))
    assert opt_outs.end(Kind.USER, "amber@contoso.example", back)
    assert readable(rules_of(settings, opt_outs.epoch, directory([AMBER, BO]), back), "id-amber") == [
        (None, NOW),
        (back, None),
    ]
    assert not opt_outs.end(Kind.USER, "amber@contoso.example", back), "taken back once"


def readable(rules, mailbox: str) -> list[tuple]:
    """The times of receipt that may be collected from a mailbox."""
    return [(row["since"], row["until"]) for row in rules.readable.to_pylist() if row["mailbox"] == mailbox]


def by_file(settings, is_out: bool, since: str = "") -> list:
    """Amber's line in `inbox/opt_outs.csv`, or none; and who the directory shows."""
    settings.layout.inbox.mkdir(exist_ok=True)
    line = f"amber@contoso.example,{since}\n" if is_out else ""
    settings.layout.inbox_opt_outs.write_text(f"address,since\n{line}")
    return [AMBER, BO]


def by_attribute(settings, is_out: bool) -> list:
    return [user("amber", opt_out_attribute="out" if is_out else None), BO]


def day_by_day(settings, epoch, readings) -> list:
    """The rules after each day's reading of the directory."""
    settings = settings.model_copy(
        update={"opt_out": settings.opt_out.model_copy(update={"attribute": "extensionAttribute7"})}
    )
    found = []
    for day, users in enumerate(readings):
        reading = directory(users() if callable(users) else users, read_at=NOW + timedelta(days=day))
        record_memberships(settings.layout, epoch, reading, [])
        found.append(rules_of(settings, epoch, reading, reading.read_at))
    return found


@pytest.mark.parametrize("way", [by_file, by_attribute])
def test_o1_o2_what_came_while_the_value_stood_stays_uncollected_once_it_is_taken_away(settings, epoch, way):
    days = [False, True, True, False, True, False]
    rules = day_by_day(settings, epoch, [partial(way, settings, is_out) for is_out in days])
    for is_out, found in zip(days, rules, strict=True):
        assert found.readable_mailboxes == ({"id-bo"} if is_out else {"id-amber", "id-bo"})
        assert found.erase_due == ({"id-amber": False} if is_out else {})
        assert people(found)["amber@contoso.example"]["may_introduce"] is not is_out
    at = [NOW + timedelta(days=day) for day in range(6)]
    assert readable(rules[-1], "id-amber") == [(None, at[0]), (at[5], None)], "opted in between is between two readings"
    assert readable(rules[3], "id-amber") == [(None, at[0]), (at[3], None)]


@pytest.mark.parametrize("way", [by_file, by_attribute])
def test_o1_whoever_the_first_reading_shows_opted_out_was_so_since_ever(settings, epoch, way):
    rules = day_by_day(settings, epoch, [partial(way, settings, is_out) for is_out in (True, False)])
    assert readable(rules[-1], "id-amber") == [(NOW + timedelta(days=1), None)]


def test_o1_a_line_of_the_file_that_says_since_when_is_believed(settings, epoch):
    since = NOW - timedelta(days=10)
    lines = [partial(by_file, settings, False), partial(by_file, settings, True, since.isoformat())]
    rules = day_by_day(settings, epoch, [*lines, partial(by_file, settings, False)])
    assert readable(rules[-1], "id-amber") == [(None, since), (NOW + timedelta(days=2), None)]


@pytest.mark.parametrize("again", [False, True])
def test_o2_c5_a_line_of_the_file_holds_for_the_person_whatever_the_address_becomes(settings, epoch, again):
    day_by_day(settings, epoch, [partial(by_file, settings, False), partial(by_file, settings, True)])
    epoch = consented_again(settings) if again else epoch
    (rules,) = day_by_day(settings, epoch, [[RENAMED, BO]])
    assert rules.readable_mailboxes == {"id-bo"}
    assert rules.erase_due == {"id-amber": False}
    by_file(settings, False)
    later = directory([RENAMED, BO], read_at=NOW + timedelta(days=9))
    record_memberships(settings.layout, epoch, later, [])
    assert rules_of(settings, epoch, later, later.read_at).readable_mailboxes == {"id-amber", "id-bo"}
    by_file(settings, True)
    assert rules_of(settings, epoch, later, later.read_at).readable_mailboxes == {"id-amber", "id-bo"}, (
        "a line that is written anew is for whoever has the address then"
    )


def test_o1_somebody_whom_the_directory_does_not_list_for_a_while_was_out_all_the_while(settings, epoch):
    out = user("amber", opt_out_attribute="out")
    rules = day_by_day(settings, epoch, [[AMBER, BO], [out, BO], [BO], [out, BO], [AMBER, BO]])
    assert readable(rules[-1], "id-amber") == [(None, NOW), (NOW + timedelta(days=4), None)]


RENAMED = user("amber", primary_address="a.jones@contoso.example", user_principal_name="a.jones@contoso.example")


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", [Kind.USER, Kind.ADDRESS])
def test_o2_c5_whoever_opted_out_stays_out_under_a_new_name_also_after_a_new_consent(settings, epoch, kind, again):
    OptOuts(settings.layout, epoch).add(entry(kind, "amber@contoso.example"))
    record_memberships(settings.layout, epoch, directory([AMBER, BO]), [])
    if again:
        epoch = consented_again(settings)
    reading = directory([RENAMED, BO])
    record_memberships(settings.layout, epoch, reading, [])
    rules = rules_of(settings, epoch, reading)
    assert rules.readable_mailboxes == {"id-bo"}
    assert rules.erase_due == {"id-amber": kind is Kind.ADDRESS}
    assert people(rules)["a.jones@contoso.example"]["may_introduce"] is False
    assert b"id-amber" not in settings.layout.control_ledger.read_bytes()


def test_c5_o2_an_opt_out_that_only_a_later_consents_directory_matches_holds_from_then_under_any_name(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    later = consented_again(settings)
    for reading in (directory([AMBER, BO]), directory([RENAMED, BO])):
        record_memberships(settings.layout, later, reading, [])
        assert rules_of(settings, later, reading).readable_mailboxes == {"id-bo"}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", ["amber@contoso.example", "a.jones@contoso.example"])
def test_o1_o2_an_opt_in_by_the_old_or_the_new_address_takes_back_all_of_the_entry(settings, epoch, name, again):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    record_memberships(settings.layout, epoch, directory([AMBER, BO]), [])
    epoch = consented_again(settings) if again else epoch
    reading, back = directory([RENAMED, BO]), NOW + timedelta(days=20)
    record_memberships(settings.layout, epoch, reading, [])
    opt_outs = OptOuts(settings.layout, epoch)
    assert opt_outs.end(Kind.USER, name, back, bearer_of(reading, name))
    assert len(opt_outs.kept()) == 0
    assert not [one for one in opt_outs.entries() if one.ended_at is None]
    for later in (reading, directory([user("amber", primary_address="third@contoso.example"), BO])):
        record_memberships(settings.layout, epoch, later, [])
        rules = rules_of(settings, epoch, later, back)
        assert readable(rules, "id-amber") == [(None, NOW), (back, None)], "what came meanwhile stays uncollected"
        assert not rules.erase_due


def test_o4_nothing_is_lost_after_the_opt_in_of_somebody_who_was_only_no_introducer(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    opt_outs.add(entry(Kind.USER, "amber@contoso.example", scopes=frozenset({Scope.INTRODUCER})))
    record_memberships(settings.layout, epoch, directory([AMBER]), [])
    record_memberships(settings.layout, epoch, renamed := directory([RENAMED]), [])
    assert not people(rules_of(settings, epoch, renamed))["a.jones@contoso.example"]["may_introduce"]
    opt_outs.end(Kind.USER, "amber@contoso.example", back := NOW + timedelta(days=20))
    rules = rules_of(settings, epoch, renamed, back)
    assert readable(rules, "id-amber") == [(None, None)]
    assert people(rules)["a.jones@contoso.example"]["may_introduce"]


def test_n2_o2_an_entry_holds_on_for_the_one_user_whom_its_address_stands_for(settings, epoch):
    """An administrator's second account has the mail address of the first."""
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "bo@contoso.example"))
    second = user("adm-bo", primary_address="bo@contoso.example")
    reading = directory([BO, second])
    given = [row for row in reading.addresses.to_pylist() if row["user_id"] == "id-bo"]
    reading = replace(reading, addresses=pa.Table.from_pylist(given, schema=reading.addresses.schema))
    record_memberships(settings.layout, epoch, reading, [])
    apart = directory([user("bo", primary_address="b@contoso.example", user_principal_name=None), user("adm-bo")])
    assert rules_of(settings, epoch, apart).readable_mailboxes == {"id-adm-bo"}


OLD_NAME = {"id-amber": ["amber@formerly.example", "/o=org/cn=amber"]}


@pytest.mark.parametrize("kind", [Kind.USER, Kind.ADDRESS])
def test_c5_o4_no_alias_of_somebody_opted_out_everywhere_comes_back_once_she_has_left(settings, epoch, kind):
    alias = "amber@formerly.example"
    OptOuts(settings.layout, epoch).add(entry(kind, "amber@contoso.example", scopes=EVERYWHERE))
    record_memberships(settings.layout, epoch, directory([AMBER, BO], aliases=OLD_NAME), [])
    assert b"formerly" not in settings.layout.control_ledger.read_bytes()
    later = consented_again(settings)
    record_memberships(settings.layout, later, left := directory([BO]), [])
    assert recogniser(settings.layout, later, left)([alias, "kim@formerly.example"]) == [alias]
    rules = rules_of(settings, later, left, named_elsewhere=lambda: {alias, "kim@formerly.example"})
    assert rules.hidden.column("address").to_pylist() == [alias]
    handed_on = directory([BO], aliases={"id-bo": [alias]})
    assert recogniser(settings.layout, later, handed_on)([alias]) == [], "whoever has the address now goes by the rules"
    assert rules_of(settings, later, handed_on).readable_mailboxes == {"id-bo"}
    assert OptOuts(settings.layout, later).end(kind, "amber@contoso.example", NOW)
    assert recogniser(settings.layout, later, left) is None
    assert rules_of(settings, later, left, named_elsewhere=lambda: {alias}).hidden.num_rows == 0


def test_c5_an_alias_of_somebody_whose_mailbox_alone_is_left_out_is_not_suppressed(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    record_memberships(settings.layout, epoch, directory([AMBER, BO], aliases=OLD_NAME), [])
    later = consented_again(settings)
    assert recogniser(settings.layout, later, directory([BO]))(["amber@formerly.example"]) == []


def test_c5_a_control_ledger_from_before_further_names_were_kept_goes_on(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example", scopes=EVERYWHERE))
    with closing(sqlite3.connect(settings.layout.control_ledger)) as connection, connection:
        connection.execute("drop table if exists kept_name")
    reading = directory([AMBER, BO])
    assert rules_of(settings, epoch, reading).readable_mailboxes == {"id-bo"}
    record_memberships(settings.layout, epoch, reading, [])
    assert OptOuts(settings.layout, epoch).end(Kind.USER, "amber@contoso.example", NOW)
    assert rules_of(settings, epoch, reading).readable_mailboxes == {"id-amber", "id-bo"}


def test_c5_without_kept_opt_outs_nothing_is_recognised(settings, epoch):
    assert recogniser(settings.layout, epoch) is None


def test_c5_kept_hashes_without_their_key_refuse(settings, epoch):
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    settings.layout.optout_key.unlink()
    with pytest.raises(Refused, match=r"optout\.key"):
        rules_of(settings, epoch, directory([AMBER]))


def test_c4_after_a_withdrawal_no_opt_out_is_written(settings, epoch):
    ControlLedger(settings.layout).change_state(epoch, ConsentState.WITHDRAWN, now=NOW, reason="test")
    with pytest.raises(ConsentRefused, match="consent"):
        OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))


def test_o1_what_was_read_before_somebody_opted_out_is_not_committed_after(settings, epoch):
    version = rules_of(settings, epoch, directory([AMBER])).version
    with rules_fence(settings.layout, epoch, version):
        pass
    OptOuts(settings.layout, epoch).add(entry(Kind.USER, "amber@contoso.example"))
    with pytest.raises(TryAgain, match="run it again"), rules_fence(settings.layout, epoch, version):
        pass


def test_the_version_changes_with_every_opt_out_and_membership(settings, epoch):
    opt_outs = OptOuts(settings.layout, epoch)
    seen = [opt_outs.version()]
    opt_outs.add(entry(Kind.GROUP, "g"))
    seen.append(opt_outs.version())
    opt_outs.record_snapshot({"g": ["id-amber"]}, NOW)
    seen.append(opt_outs.version())
    opt_outs.record_snapshot({"g": ["id-amber"]}, NOW + timedelta(hours=1))
    assert opt_outs.version() == seen[-1], "a reading that shows nothing new changes nothing"
    opt_outs.end(Kind.GROUP, "g", NOW)
    seen.append(opt_outs.version())
    assert len(set(seen)) == 4
