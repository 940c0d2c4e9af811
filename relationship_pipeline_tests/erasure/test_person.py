"""One person erased: every lake table equals a fresh collection that never saw them (W5, O2, O4), on random tenants."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.consent.enforcement import Rules, read_rules, recogniser
from relationship_pipeline.consent.ledger import ControlLedger
from relationship_pipeline.consent.optouts import OptOuts
from relationship_pipeline.domain.consent import Purpose
from relationship_pipeline.domain.optout import DEFAULT_SCOPES, EVERYWHERE, Kind, Mode, OptOut
from relationship_pipeline.durable import put_bytes
from relationship_pipeline.erasure.access import export_person
from relationship_pipeline.erasure.backups import make_backup, restore_backup
from relationship_pipeline.erasure.person import (
    Status,
    count_left,
    erase_due_people,
    forbidden,
    identify,
    people_due,
    request_erasure,
    run_request,
)
from relationship_pipeline.erasure.rewrite import Without, rewrite_restored
from relationship_pipeline.errors import BadInput, PipelineError
from relationship_pipeline.insights.build import build_contact_graph, build_kpis, build_who_knows_whom
from relationship_pipeline.insights.context import BuildContext
from relationship_pipeline.lake.collect import Collection, collect_emails, collect_meetings
from relationship_pipeline.lake.manifest import read_manifest
from relationship_pipeline.lake.reader import open_table
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.schemas import STAGED_EMAIL, STAGED_MEETING
from relationship_pipeline.settings import Settings
from relationship_pipeline.sources.base import Directory, Staged
from relationship_pipeline_tests.consent.tenant import directory, user
from relationship_pipeline_tests.erasure.lived_in import ADMIN, NOW, Home, commit, consented

MONTH = "2026-10"
NAMES = ("amber", "bo", "cy", "di")
OUTSIDE = ("kim@customer.example", "joann@customer.example", "ann@customer.example")
TENANT = directory([user(name) for name in NAMES], aliases={"id-amber": ["a.smith@contoso.example"]})


@dataclass(frozen=True)
class Rows:
    """One month as a source read it."""

    emails: list[dict[str, Any]]
    meetings: list[dict[str, Any]]

    def without_mailbox(self, mailbox: str) -> Rows:
        return Rows(*([row for row in rows if row["mailbox"] != mailbox] for rows in (self.emails, self.meetings)))


def random_month(seed: int) -> Rows:
    """Emails with copies in several mailboxes, forwarded and repeated, meeting messages, aliases; and meetings."""
    rng = random.Random(seed)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    everybody = [*(f"{name}@contoso.example" for name in NAMES), "a.smith@contoso.example", *OUTSIDE]
    emails, meetings = [], []
    for number in range(60):
        sender = rng.choice(everybody)
        to = rng.sample(everybody, rng.randint(1, 3))
        cc = rng.sample(everybody, rng.randint(0, 2))
        sent = start + timedelta(minutes=rng.randrange(43_000))
        is_meeting = rng.random() < 0.1
        for name in rng.sample(NAMES, rng.randint(1, 3)):
            emails.append(
                {
                    "mailbox": f"id-{name}",
                    "item_id": f"{number}-{name}",
                    "internet_message_id": f"<{number}@x>" if rng.random() < 0.9 else None,
                    "conversation_id": f"c{number % 7}",
                    "conversation_index": None,
                    "sent_at": sent,
                    "received_at": sent + timedelta(seconds=rng.randrange(90)),
                    "from_address": sender,
                    "from_name": sender.partition("@")[0] if number % 9 else f"'{rng.choice(OUTSIDE)}' via List",
                    "sender_address": sender,
                    "to_addresses": to,
                    "cc_addresses": cc,
                    "folder_class": rng.choices(["inbox", "junk", "deleted"], [0.8, 0.1, 0.1])[0],
                    "is_draft": rng.random() < 0.05,
                    "is_meeting_message": is_meeting,
                    "has_bulk_header": False,
                }
            )
            if seed % 2 and rng.random() < 0.05:
                emails.append(dict(emails[-1]))
    for number in range(20):
        begins = start + timedelta(hours=rng.randrange(700))
        people = rng.sample(everybody, rng.randint(2, 5))
        for name in rng.sample(NAMES, rng.randint(1, 3)):
            meetings.append(
                {
                    "mailbox": f"id-{name}",
                    "item_id": f"m{number}-{name}",
                    "ical_uid": f"uid{number}",
                    "series_id": None,
                    "event_type": "singleInstance",
                    "organizer_address": people[0],
                    "organizer_name": None,
                    "is_organizer": people[0].startswith(name),
                    "own_response": "accepted",
                    "attendees": [{"address": one, "type": "required", "response": "none"} for one in people[1:]],
                    "start_at": begins,
                    "end_at": begins + timedelta(minutes=30),
                    "is_all_day": False,
                    "is_cancelled": False,
                    "is_draft": False,
                    "sensitivity": rng.choices(["normal", "private"], [0.9, 0.1])[0],
                }
            )
    rng.shuffle(emails)
    return Rows(emails, meetings)


def collect(home: Home, rows: Rows, folder: Path) -> Rules:
    """Collect the month by the project's own steps under the rules in force."""
    rules = rules_of(home, TENANT)
    collection = Collection(
        layout=home.layout,
        epoch=home.epoch,
        rules=rules,
        directory=TENANT,
        settings=settings_of(home),
        fence=partial(ControlLedger(home.layout).commit_fence, home.epoch, Purpose.COLLECT),
        recognise=recogniser(home.layout, home.epoch),
    )
    for name, kind, schema, step in (
        ("emails", rows.emails, STAGED_EMAIL, collect_emails),
        ("meetings", rows.meetings, STAGED_MEETING, collect_meetings),
    ):
        path = folder / f"{home.epoch}-{name}.parquet"
        pq.write_table(pa.Table.from_pylist(kind, schema=schema), path)
        mailboxes = frozenset(row["mailbox"] for row in kind)
        counts = {"expected": len(mailboxes), "done": len(mailboxes)}
        step(collection, MONTH, Staged(files=(path,), read_mailboxes=mailboxes, mailboxes=counts))
    return rules


def settings_of(home: Home) -> Settings:
    return Settings(data_dir=home.layout.root, threads=1, memory_limit="512MB")


def rules_of(home: Home, reading: Directory) -> Rules:
    return read_rules(home.layout, home.epoch, reading, settings_of(home), NOW)


def table(home: Home, name: str) -> list[dict[str, Any]]:
    folder = home.tree.month(name, MONTH)
    return [
        row for path in open_table(folder).paths(folder) for row in pq.read_table(path, partitioning=None).to_pylist()
    ]


COUNTED = (
    "copies_read",
    "distinct_emails",
    "distinct_meetings",
    "duplicates",
    "dropped",
    "clock_corrected",
    "mailboxes",
)


def quality(home: Home, name: str) -> dict[str, Any]:
    record = read_manifest(home.tree.month(name, MONTH)).quality
    return {key: record[key] for key in COUNTED if key in record}


def erase(home: Home, address: str, *, everywhere: bool) -> Status:
    request = request_erasure(home.layout, home.epoch, address, everywhere=everywhere, now=NOW)
    return run_request(settings_of(home), home.epoch, request, TENANT, {}, rebuild=lambda: None, now=lambda: NOW)


@pytest.mark.parametrize("seed", range(4))
def test_w5_erasing_a_mailbox_equals_a_fresh_collection_that_never_saw_it(seed, tmp_path):
    rows = random_month(seed)
    erased, fresh = consented(tmp_path / "erased"), consented(tmp_path / "fresh")
    collect(erased, rows, tmp_path)
    assert erase(erased, "a.smith@contoso.example", everywhere=False) is Status.COMPLETED
    collect(fresh, rows.without_mailbox("id-amber"), tmp_path)
    for name in ("email", "meetings"):
        assert table(erased, name) == table(fresh, name), (seed, name)
        assert quality(erased, name) == quality(fresh, name), (seed, name)
    collect(erased, rows, tmp_path)
    assert table(erased, "email") == table(fresh, "email"), "a later run of the month brings nothing back"


@pytest.mark.parametrize("seed", range(4, 7))
def test_w5_erasing_everywhere_equals_a_fresh_collection_under_that_opt_out(seed, tmp_path):
    rows = random_month(seed)
    erased, fresh = consented(tmp_path / "erased"), consented(tmp_path / "fresh")
    collect(erased, rows, tmp_path)
    assert erase(erased, "amber@contoso.example", everywhere=True) is Status.COMPLETED
    OptOuts(fresh.layout, fresh.epoch).add(
        OptOut(Kind.USER, "amber@contoso.example", EVERYWHERE, Mode.ERASE, made_at=NOW)
    )
    collect(fresh, rows, tmp_path)
    for name in ("email", "meetings"):
        assert table(erased, name) == table(fresh, name), (seed, name)
        assert "amber@" not in str(table(erased, name))
        assert "a.smith@" not in str(table(erased, name)), "an alias is the person too"


def test_o6_an_outside_person_is_erased_from_everybodys_copies_and_nobody_with_a_similar_address(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(9), tmp_path)
    before = mentions(home, "joann@customer.example")
    assert erase(home, "Ann@customer.example", everywhere=True) is Status.COMPLETED
    assert mentions(home, "ann@customer.example") == 0
    assert mentions(home, "joann@customer.example") == before > 0


def mentions(home: Home, address: str) -> int:
    return sum(str(row).count(f"'{address}'") for name in ("email", "meetings") for row in table(home, name))


def test_c5_an_outside_person_suppressed_under_an_earlier_consent_is_left_out_of_the_next(tmp_path):
    home = consented(tmp_path / "data")
    request_erasure(home.layout, home.epoch, "ann@customer.example", everywhere=True, now=NOW)
    home.withdraw()
    again = Home(home.layout, ControlLedger(home.layout).provide(ADMIN, now=NOW)[0].epoch)
    collect(again, random_month(9), tmp_path)
    assert mentions(again, "ann@customer.example") == 0
    assert mentions(again, "joann@customer.example") > 0


def statuses(home: Home) -> list[str]:
    """Of the requests that the ledger holds."""
    with closing(sqlite3.connect(home.layout.epoch(home.epoch).ledger)) as connection:
        return [status for (status,) in connection.execute("select status from person_erasure order by request")]


def test_w5_statuses_and_what_stands_in_them(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(1), tmp_path)
    assert statuses(home) == []
    assert (
        run_request(settings_of(home), home.epoch, "999", TENANT, {}, rebuild=lambda: None, now=lambda: NOW)
        is Status.NO_REQUEST
    )
    request = request_erasure(home.layout, home.epoch, "Amber@contoso.example ", everywhere=False, now=NOW)
    assert statuses(home) == [Status.PROCESSING]
    assert request_erasure(home.layout, home.epoch, "amber@contoso.example", everywhere=False, now=NOW) == request

    def broken() -> None:
        raise PipelineError("disk full")

    with pytest.raises(PipelineError, match="disk full"):
        run_request(settings_of(home), home.epoch, request, TENANT, {}, rebuild=broken, now=lambda: NOW)
    assert statuses(home) == [Status.FAILED]
    rebuilt: list[int] = []
    done = run_request(
        settings_of(home), home.epoch, request, TENANT, {}, rebuild=lambda: rebuilt.append(1), now=lambda: NOW
    )
    assert (done, rebuilt) == (Status.COMPLETED, [1])
    with pytest.raises(BadInput, match="not one address"):
        request_erasure(home.layout, home.epoch, "amber", everywhere=False, now=NOW)


def test_w5_a_request_finds_the_person_however_the_address_is_written(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(9), tmp_path)
    assert erase(home, "Ann Example <mailto:ANN@customer.example>", everywhere=True) is Status.COMPLETED
    assert mentions(home, "ann@customer.example") == 0
    subjects = {entry.subject for entry in OptOuts(home.layout, home.epoch).entries()}
    assert subjects == {"ann@customer.example"}
    assert statuses(home) == [Status.COMPLETED]


@pytest.mark.parametrize("earlier_consent", [False, True])
def test_w5_erasing_a_mailbox_never_shows_somebody_again_who_had_opted_out_everywhere(earlier_consent, tmp_path):
    home = consented(tmp_path / "data")
    OptOuts(home.layout, home.epoch).add(
        OptOut(Kind.USER, "amber@contoso.example", EVERYWHERE, Mode.ERASE, made_at=NOW)
    )
    if earlier_consent:
        home.withdraw()
        home = Home(home.layout, ControlLedger(home.layout).provide(ADMIN, now=NOW)[0].epoch)
    request_erasure(home.layout, home.epoch, "amber@contoso.example", everywhere=False, now=NOW)
    assert "amber@contoso.example" in rules_of(home, TENANT).hidden.column("address").to_pylist()


def test_w5_derived_months_and_stage_go_with_the_person_and_other_months_stay_as_they_are(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(1), tmp_path)
    for month in ("2026-06", "2026-09", MONTH, "2026-11"):
        commit(home, "interactions", month, [{"contact": "kim@customer.example", "user_id": "id-amber"}])
    put_bytes(home.tree.stage / "splits" / "x.parquet", b"rows")
    erase(home, "amber@contoso.example", everywhere=False)
    left = sorted(path.parent.name for path in home.tree.lake.glob("interactions/*/manifest.json"))
    assert left == ["month=2026-06"], "the next build makes the touched month and its neighbours anew"
    assert not any(path.is_file() for path in home.tree.stage.rglob("*"))


def test_o2_whoever_opts_out_by_hand_is_due_until_nothing_of_theirs_is_held(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(2), tmp_path)
    assert not people_due(home.tree, rules_of(home, TENANT), settings_of(home))
    home.layout.inbox.mkdir()
    home.layout.inbox_opt_outs.write_text("address,since\nbo@contoso.example,\n")
    due = people_due(home.tree, rules_of(home, TENANT), settings_of(home))
    assert due == Without(frozenset({"id-bo"}))
    erase(home, "bo@contoso.example", everywhere=False)
    assert not people_due(home.tree, rules_of(home, TENANT), settings_of(home))


def test_w5_a_restore_takes_out_whoever_was_erased_since_the_backup(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(3), tmp_path)
    backup = make_backup(home.layout, home.store, home.epoch, NOW)
    erase(home, "amber@contoso.example", everywhere=True)
    after = {name: table(home, name) for name in ("email", "meetings")}
    rules = rules_of(home, TENANT)

    def reapply(restored: EpochLayout) -> None:
        rewrite_restored(restored, home.epoch, forbidden(restored, rules, settings_of(home)))

    restore_backup(home.layout, home.store, backup, reapply=reapply, now=NOW)
    assert {name: table(home, name) for name in ("email", "meetings")} == after
    assert count_left(home.tree, forbidden(home.tree, rules, settings_of(home)), settings_of(home)) == 0


def test_o5_o6_an_excluded_domain_goes_from_what_was_collected_and_stays_away(tmp_path):
    home = consented(tmp_path / "data")
    rows = random_month(6)
    collect(home, rows, tmp_path)
    assert "@customer.example" in str(table(home, "email"))
    OptOuts(home.layout, home.epoch).add(OptOut(Kind.DOMAIN, "customer.example", EVERYWHERE, Mode.ERASE, made_at=NOW))
    rules = rules_of(home, TENANT)
    assert erase_due_people(settings_of(home), home.epoch, rules)
    assert not erase_due_people(settings_of(home), home.epoch, rules), "nobody is due any more"
    after = {name: table(home, name) for name in ("email", "meetings")}
    assert "@customer.example" not in str(after)
    collect(home, rows, tmp_path)
    assert {name: table(home, name) for name in ("email", "meetings")} == after


def test_w7_a_subject_gets_everything_held_about_one_address_and_nothing_else(tmp_path):
    home = consented(tmp_path / "data")
    collect(home, random_month(4), tmp_path)
    commit(home, "directory", None, [{"address": "ann@customer.example"}, {"address": "joann@customer.example"}])
    OptOuts(home.layout, home.epoch).add(
        OptOut(Kind.ADDRESS, "ann@customer.example", EVERYWHERE, Mode.ERASE, made_at=NOW)
    )
    person = identify(TENANT, "ANN@customer.example", {})
    found = export_person(settings_of(home), home.epoch, person, NOW)
    held = found["held"]
    assert held["lake"]["directory"] == [{"address": "ann@customer.example"}]
    assert [row["subject"] for row in held["ledger"]["opt_out"]] == ["ann@customer.example"]
    expected = [row for row in table(home, "email") if "'ann@customer.example'" in str(row)]
    assert len(held["lake"]["email"]) == len(expected) > 0
    assert held["lake"]["meetings"]
    import json

    json.dumps(found)


def test_w7_a_colleague_is_found_by_every_address_and_by_mailbox(tmp_path):
    home = consented(tmp_path / "data")
    rows = random_month(5)
    collect(home, rows, tmp_path)
    person = identify(TENANT, "a.smith@contoso.example", {})
    assert person.user_ids == {"id-amber"}
    assert "amber@contoso.example" in person.addresses
    held = export_person(settings_of(home), home.epoch, person, NOW)["held"]["lake"]["email"]
    assert {row["mailbox"] for row in held} >= {"id-amber"}
    assert len(held) == len(of_amber(table(home, "email")))


def of_amber(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("'id-amber'", "'amber@contoso.example'", "'a.smith@contoso.example'")
    return [row for row in rows if any(name in str(row) for name in names)]


def build_insights(home: Home, as_of: datetime) -> None:
    rules = rules_of(home, TENANT)
    context = BuildContext(
        layout=home.tree,
        settings=settings_of(home),
        people=rules.people,
        absences=rules.absences,
        internal_domains=rules.internal_domains,
        hidden_addresses=rules.hidden,
        hidden_domains=rules.hidden_domains,
        fence=partial(ControlLedger(home.layout).commit_fence, home.epoch, Purpose.DERIVE),
        crm={},
        progress=lambda line: None,
    )
    for build in (build_kpis, build_who_knows_whom, build_contact_graph):
        build(context, as_of)


def insights(home: Home) -> dict[str, list[str]]:
    """Every 12-month table without the columns that say when it was read or built."""
    found = {}
    for folder in sorted((home.tree.root / "insights").iterdir()):
        rows = [
            row
            for path in open_table(folder).paths(folder)
            for row in pq.read_table(path, partitioning=None).to_pylist()
        ]
        found[folder.name] = sorted(
            str({name: value for name, value in row.items() if name not in ("updated_at", "read_at")}) for row in rows
        )
    return found


@pytest.mark.parametrize(("seed", "everywhere"), [(20, False), (22, True)])
def test_w5_every_insight_equals_a_build_that_never_saw_the_person(seed, everywhere, tmp_path):
    rows, as_of = random_month(seed), datetime(2026, 11, 1, tzinfo=UTC)
    erased, fresh = consented(tmp_path / "erased"), consented(tmp_path / "fresh")
    collect(erased, rows, tmp_path)
    build_insights(erased, as_of)
    with_amber = insights(erased)
    request = request_erasure(erased.layout, erased.epoch, "amber@contoso.example", everywhere=everywhere, now=NOW)
    run_request(
        settings_of(erased),
        erased.epoch,
        request,
        TENANT,
        {},
        rebuild=lambda: build_insights(erased, as_of),
        now=lambda: NOW,
    )
    scopes = EVERYWHERE if everywhere else DEFAULT_SCOPES
    OptOuts(fresh.layout, fresh.epoch).add(OptOut(Kind.USER, "amber@contoso.example", scopes, Mode.ERASE, made_at=NOW))
    collect(fresh, rows.without_mailbox("id-amber"), tmp_path)
    build_insights(fresh, as_of)
    assert len(with_amber) >= 10
    assert insights(erased) != with_amber
    assert insights(erased) == insights(fresh)
