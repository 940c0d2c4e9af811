"""The seeded tenant: deterministic, found from every side, and as untidy as real mail (graph.md 8.5)."""

from __future__ import annotations

import base64
import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from relationship_pipeline.simulator import shapes
from relationship_pipeline.simulator.export import write_crm, write_export
from relationship_pipeline.simulator.mail import DRAFT
from relationship_pipeline.simulator.scenario import Realism, Scenario, ScenarioError, load_scenario
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import month_bounds

MONTHS = ("2025-01", "2025-02", "2025-03")
WINDOW = (month_bounds(MONTHS[0])[0], month_bounds(MONTHS[-1])[1])
SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "graph_samples"


def small(**changes: object) -> Scenario:
    values = {"seed": 5, "users": 20, "months": MONTHS, "messages_per_month": 1500} | changes
    return Scenario(**values)  # type: ignore[arg-type]


def lines(folder: Path) -> list[dict]:
    """All JSON lines of an export folder's files."""
    return [json.loads(line) for f in folder.iterdir() for line in gzip.decompress(f.read_bytes()).splitlines()]


needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="the samples of real rows are not here")


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(small(realism=Realism.everything()))


@pytest.fixture(scope="module")
def copies(tenant: Tenant) -> list:
    return [copy for index in tenant.people.members for copy in tenant.messages(index, *WINDOW)]


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_export(Tenant(small()), tmp_path / name)
        write_crm(Tenant(small()), tmp_path / name / "crm")
    one = {p.relative_to(tmp_path / "one"): p.read_bytes() for p in (tmp_path / "one").rglob("*.*")}
    two = {p.relative_to(tmp_path / "two"): p.read_bytes() for p in (tmp_path / "two").rglob("*.*")}
    assert one == two


def test_a_month_of_a_mailbox_does_not_depend_on_what_was_asked_before(tenant: Tenant) -> None:
    fresh = Tenant(tenant.scenario)
    for index in (11, 3):
        for month in ("2025-03", "2025-01", "2025-02"):
            window = month_bounds(month)
            assert [c.number for c in fresh.messages(index, *window)] == [
                c.number for c in tenant.messages(index, *window)
            ]


def test_months_of_a_mailbox_add_up_to_the_whole(tenant: Tenant) -> None:
    for index in (0, 7):
        whole = [c.number for c in tenant.messages(index, *WINDOW)]
        parts = [c.number for month in MONTHS for c in tenant.messages(index, *month_bounds(month))]
        assert whole == parts
        assert len(set(whole)) == len(whole)


def test_mailboxes_and_the_list_of_emails_show_the_same_copies(tenant: Tenant, copies: list) -> None:
    from_mailboxes = {(c.mailbox, c.number) for c in copies}
    members = set(tenant.people.members)
    from_emails = {
        (c.mailbox, c.number) for m in MONTHS for _, found in tenant.emails(m) for c in found if c.mailbox in members
    }
    assert from_emails == from_mailboxes


@pytest.mark.parametrize("seed", [5, 41, 43])
@pytest.mark.parametrize("today", ["2025-02-11", "2025-02-21", "2025-03-01", "2025-03-15"])
def test_mailboxes_and_the_truth_agree_where_the_clock_stands_on_a_border(seed: int, today: str) -> None:
    """Windows that end now, as a client asks for them."""
    tenant = Tenant(small(seed=seed, realism=Realism.everything(), now=f"{today}T00:00:00Z"))
    for month in MONTHS:
        start, end = month_bounds(month)
        true = {(c.mailbox, c.number) for _, copies in tenant.emails(month) for c in copies}
        until = min(end, tenant.now)
        seen = {(u.index, c.number) for u in tenant.people.users for c in tenant.messages(u.index, start, until)}
        assert true == seen
        assert sum(tenant.mailboxes.count(u.index, start, until, tenant.now) for u in tenant.people.users) == len(true)


def test_calendars_and_the_list_of_meetings_show_the_same_rooms_included(tenant: Tenant) -> None:
    for now in (WINDOW[0] + 20 * 86400, WINDOW[1]):
        tenant.now = now
        for month in MONTHS:
            start, end = month_bounds(month)
            true = [(m.uid, m.start, holder) for m, holders in tenant.month_meetings(start, end) for holder in holders]
            seen = {
                (meeting.uid, meeting.start, user.index)
                for user in tenant.people.users
                for meeting in tenant.calendar(user.index, start, end)
                if start <= meeting.start < end
            }
            assert len(true) == len(set(true)) and set(true) == seen
    assert {tenant.people.users[holder].kind for _, _, holder in true} >= {"room", "member"}


def test_a_message_lies_in_every_mailbox_it_names(copies: list) -> None:
    holders = defaultdict(set)
    for copy in copies:
        holders[copy.email.key].add(copy.mailbox)
    shared = [keys for keys in holders.values() if len(keys) > 1]
    assert len(shared) > 50


def test_each_mailbox_has_its_own_conversation_id_with_the_conversation_guid_inside_B7(tenant: Tenant) -> None:
    seen = defaultdict(set)
    for _, found in tenant.emails("2025-02"):
        for copy in found:
            shaped = shapes.message_shaper(("conversationId", "conversationIndex"), tenant.ids(copy.mailbox), 0, True)
            message = shaped(copy)
            raw = base64.b64decode(message["conversationId"], altchars=b"_-")
            assert len(raw) == 59
            assert raw[:4] == bytes.fromhex("00042400")
            assert raw[-16:] == base64.b64decode(message["conversationIndex"])[6:22]
            seen[raw[-16:]].add((copy.mailbox, message["conversationId"]))
    several = [ids for ids in seen.values() if len({mailbox for mailbox, _ in ids}) > 1]
    assert several
    for ids in several:
        assert len({text for _, text in ids}) == len({mailbox for mailbox, _ in ids})


@needs_samples
def test_ids_have_the_layout_of_real_ids(tenant: Tenant, copies: list) -> None:
    ids = tenant.ids(copies[0].mailbox)
    default, immutable = ids.item(copies[0].number, 1), ids.immutable(copies[0].number)
    real = json.loads((SAMPLES / "mgdc_CalendarView_v0.jsonl").read_text().splitlines()[0])["seriesMasterId"]
    assert len(default) == len(real) == 152
    assert default[:5] == real[:5] == "AAMkA"
    assert immutable.startswith("AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A")
    assert len(immutable) == 68


def test_the_volume_asked_for_is_about_what_is_there() -> None:
    scenario = small(users=30, messages_per_month=4000, realism=Realism(deleted=0.0))
    found = sum(len(Tenant(scenario).messages(i, *WINDOW)) for i in range(30))
    assert 0.8 < found / (3 * 4000) < 1.25


def test_mail_per_user_is_heavy_tailed() -> None:
    activity = sorted(u.activity for u in Tenant(small(users=4000, messages_per_month=4_000_000)).people.users[:4000])
    assert activity[3960] / activity[2000] == pytest.approx(16, rel=0.25)


def test_a_tidy_tenant_has_none_of_the_oddities() -> None:
    tidy = Tenant(small(realism=Realism.tidy()))
    for _, copies in tidy.emails("2025-02"):
        for copy in copies:
            email = copy.email
            assert email.kind == 0
            assert email.message_id
            assert email.from_ is email.sender is not None
            assert copy.folder in (1, 2)
            assert all(p.address == p.canonical or p.address.lower() == p.canonical for p in email.to + email.cc)
    assert len(tidy.people.users) == 21


def test_realism_oddities_all_occur(tenant: Tenant, copies: list) -> None:
    emails = {copy.email.key: copy.email for copy in copies}.values()
    addresses = {p.address for e in emails for p in e.to + e.cc}
    assert {e.kind for e in emails} == {0, 1, 2, 3, 4, 5, 6}
    assert any(e.message_id is None and e.kind != DRAFT for e in emails)
    assert any(e.from_ is None and e.sender for e in emails)
    assert any(e.from_ and e.sender and e.from_.canonical != e.sender.canonical for e in emails)
    assert any(e.bcc for e in emails)
    assert any(abs(e.sent_header - e.sent) > 5 * 86400 for e in emails)
    assert any(len(e.to) == 500 for e in emails)
    assert "" in addresses
    for mark in ("mailto:", "/O=EXCHANGELABS", "'", "+crm", "<", " "):
        assert any(mark in address for address in addresses), mark
    assert any(c.moved_at for c in copies)
    assert any(c.visible_from > c.received + 3600 for c in copies)
    assert {c.folder for c in copies} >= {1, 2, 3, 4, 5, 6, 9, 13, 14, 15}
    kinds = {user.kind for user in tenant.people.users}
    assert kinds == {"member", "shared", "room", "guest", "disabled", "unlicensed", "on_premises", "admin"}


def test_drafts_are_about_eight_in_a_hundred_and_meeting_messages_about_ten() -> None:
    tenant = Tenant(small(users=40, messages_per_month=6000))
    kinds = Counter(
        "draft" if c.email.kind == 1 else "meeting" if c.email.kind > 1 else "message"
        for i in range(40)
        for c in tenant.messages(i, *WINDOW)
    )
    total = sum(kinds.values())
    assert 0.05 < kinds["draft"] / total < 0.12
    assert 0.04 < kinds["meeting"] / total < 0.14


def test_threads_are_answered_across_month_borders(copies: list) -> None:
    months = defaultdict(set)
    for copy in copies:
        if copy.email.depth:
            months[copy.email.conversation].add(copy.received // 86400 // 15)
    assert any(len(found) > 1 for found in months.values())


def test_relations_repeat_and_some_go_quiet() -> None:
    tenant = Tenant(Scenario(seed=2, users=24, months=tuple(f"2025-{m:02d}" for m in range(1, 13)),
                             messages_per_month=3000))  # fmt: skip
    courses = Counter(r.course for index in range(24) for r in tenant.streams.relations(index))
    assert {"steady", "growing", "declining", "lapsed", "new"} <= set(courses)
    last = {}
    count: Counter = Counter()
    for month in tenant.scenario.months:
        for email, _ in tenant.emails(month):
            if email.sender and email.sender_index < 0 and not email.bulk:
                last[email.sender.canonical] = month
                count[email.sender.canonical] += 1
    busy = [address for address, n in count.items() if n >= 10]
    assert len(busy) > 20
    assert any(last[address] < "2025-09" for address in busy)


def test_meetings_recur_move_and_are_cancelled(tenant: Tenant) -> None:
    meetings = list(tenant.month_meetings(*WINDOW))
    assert {m.kind for m, _ in meetings} == {"singleInstance", "occurrence", "exception"}
    assert any(m.cancelled for m, _ in meetings)
    assert any(m.all_day for m, _ in meetings)
    assert any(m.private for m, _ in meetings)
    assert any(a.response == "declined" for m, _ in meetings for a in m.attendees)
    assert any(a.kind == "resource" for m, _ in meetings for a in m.attendees)
    by_uid = Counter(shapes.ical_uid(m) for m, _ in meetings)
    assert len(by_uid) == len(meetings)


def test_copies_of_a_meeting_share_one_icaluid_and_answers_stand_in_the_organizers_copy(tenant: Tenant) -> None:
    meeting, holders = next(
        (m, h)
        for m, h in tenant.month_meetings(*WINDOW)
        if len(h) > 1 and m.organizer.user in h and any(a.response == "accepted" for a in m.attendees)
    )
    rows = {h: shapes.event(meeting, h, tenant.ids(h), tenant.now, True) for h in holders}
    assert len({row["iCalUId"] for row in rows.values()}) == 1
    assert len({row["id"] for row in rows.values()}) == len(holders)
    answers = [a["status"]["response"] for a in rows[meeting.organizer.user]["attendees"]]
    assert "accepted" in answers
    assert rows[meeting.organizer.user]["responseStatus"]["response"] == "organizer"


@needs_samples
def test_export_rows_have_the_keys_of_real_export_rows(tmp_path: Path) -> None:
    tenant = Tenant(small())
    counts = write_export(tenant, tmp_path)
    rows = lines(tmp_path / "Message_v1")
    assert len(rows) == counts["Message_v1"]
    summaries = [row for row in rows if row["rowinformation"]["isUserSummaryRow"]]
    assert {row["puser"] for row in summaries} == {tenant.people.users[i].oid for i in tenant.people.members}
    for name, folder in (("mgdc_Message_v1", "Message_v1"), ("mgdc_CalendarView_v0", "CalendarView_v0"),
                         ("mgdc_User_v1", "User_v1")):  # fmt: skip
        real = set().union(*(json.loads(line) for line in (SAMPLES / f"{name}.jsonl").read_text().splitlines()))
        ours = lines(tmp_path / folder)
        extra = set().union(*ours) - real
        ours_only = {"meetingMessageType", "isDraft", "hideAttendees", "onPremisesExtensionAttributes", "otherMails"}
        assert extra <= ours_only | {"ODataType"}
    events = lines(tmp_path / "CalendarView_v0")
    assert events[0]["attendees"][0]["type"].startswith("microsoft.graph.attendeeType'")


def test_crm_rows_point_at_one_another(tmp_path: Path) -> None:
    tenant = Tenant(small())
    write_crm(tenant, tmp_path)
    tables = {p.stem: list(csv.DictReader(p.read_text("utf-8").splitlines())) for p in tmp_path.iterdir()}
    accounts = {row["accountid"] for row in tables["accounts"]}
    contacts = {row["contactid"] for row in tables["contacts"]}
    users = {row["systemuserid"] for row in tables["user_roles"]}
    assert {r["_primarycontactid_value"] for r in tables["accounts"]} <= contacts
    assert {r["_parentcustomerid_value"] for r in tables["contacts"]} - {""} <= accounts
    assert {r["_parentaccountid_value"] for r in tables["opportunities"]} <= accounts
    assert {r["_parentcontactid_value"] for r in tables["opportunities"]} <= contacts
    assert {r["_ownerid_value"] for t in ("accounts", "contacts", "leads", "opportunities") for r in tables[t]} <= users
    deals = {row["opportunityid"] for row in tables["opportunities"]}
    assert {r["contactid"] for r in tables["stakeholders"]} <= contacts
    assert {r["record_id"] for r in tables["stakeholders"]} <= deals | {r["leadid"] for r in tables["leads"]}
    assert {r["opportunityid"] for r in tables["opportunity_team"]} == deals
    assert {r["systemuserid"] for r in tables["opportunity_team"]} <= users
    for name in ("appointments", "emails"):
        assert {r["_regardingobjectid_value"] for r in tables[name]} <= deals
    sent = {email.message_id for month in MONTHS for email, _ in tenant.emails(month)}
    assert {r["messageid"] for r in tables["emails"]} & sent
    assert tables["phonecalls"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("userz: 5", "unknown key 'userz'"),
        ("realism: {draughts: 1}", "unknown key 'draughts'"),
        ("users: 1", "at least 2 users"),
        ("months: [2025-13]", "not a month"),
        ("a: [", "not YAML"),
        ("- 1", "expected keys and values"),
    ],
)
def test_a_wrong_scenario_file_is_one_line_that_names_the_mistake(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=said) as caught:
        load_scenario(path)
    assert "\n" not in str(caught.value)


def test_a_scenario_file_sets_size_time_and_realism(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("users: 12\nmonths: ['2025-05']\nrealism: {drafts: 0.5}\nlatency: {base: 0.2}\n")
    scenario = load_scenario(path)
    assert (scenario.users, scenario.months, scenario.realism.drafts, scenario.latency.base) == (
        12,
        ("2025-05",),
        0.5,
        0.2,
    )


def test_a_giant_mailbox_is_counted_without_being_made_and_served_by_days() -> None:
    tenant = Tenant(small(users=4, messages_per_month=100, realism=Realism(giant_mailbox=3000)))
    busiest = tenant.streams.busiest
    start, end = month_bounds("2025-02")
    month = [copy.number for copy in tenant.messages(busiest, start, end)]
    days = [c.number for day in range(start, end, 86400) for c in tenant.messages(busiest, day, day + 86400)]
    assert month == days
    assert len(month) == tenant.mailboxes.count(busiest, start, end, tenant.now) > 2500
    truth = [c.number for _, copies in tenant.emails("2025-02") for c in copies if c.mailbox == busiest]
    assert sorted(truth) == sorted(month)


def test_ten_thousand_mailboxes_start_without_being_made() -> None:
    tenant = Tenant(small(users=10_000, messages_per_month=8_000_000))
    found = tenant.messages(4321, *month_bounds("2025-02"))
    assert found == sorted(found, key=lambda copy: copy.order)
    assert sum(user.activity for user in tenant.people.users[:10_000]) == pytest.approx(8_000_000, rel=0.01)


def test_a_room_holds_the_meetings_that_booked_it(tenant: Tenant) -> None:
    room = next(user for user in tenant.people.users if user.kind == "room")
    booked = tenant.calendar(room.index, *WINDOW)
    assert booked
    assert all(any(a.person.user == room.index for a in meeting.attendees) for meeting in booked)
