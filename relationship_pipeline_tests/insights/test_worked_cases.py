"""Cases with numbers worked out by hand from product.md 6-8, and what makes a month stale."""

import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relationship_pipeline.domain import health
from relationship_pipeline.domain.months import month_range
from relationship_pipeline.domain.ties import Interaction, Kind, displayed_strength, score, tie_sums
from relationship_pipeline.insights.build import build_contact_graph, build_kpis, build_month, build_who_knows_whom
from relationship_pipeline.lake.engine import sql
from relationship_pipeline.lake.manifest import read_manifest
from relationship_pipeline.lake.writer import adopt_part, commit_manifest
from relationship_pipeline.schemas import PUBLISHED
from relationship_pipeline.settings import HealthSettings
from relationship_pipeline_tests.factories import email, meeting, message, oid, user, write_crm, write_export
from relationship_pipeline_tests.insights.pipeline import build_all, collect, read_table

AS_OF = datetime(2025, 4, 20, 12, tzinfo=UTC)
MONTHS = ["2025-02", "2025-03", "2025-04"]
MEGAN, ALEX, LIDIA = "megan@contoso.com", "alex@contoso.com", "lidia@contoso.com"
ANA, BERT = "ana@fabrikam.com", "bert@fabrikam.com"


def at(month, number, hour=9, minute=0):
    return datetime(2025, month, number, hour, minute, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path):
    """Write rows as an export (and a CRM folder), collect them, give the context of builds."""

    def lake(messages=(), events=(), *, crm=None, months=MONTHS, root="data"):
        export = write_export(
            tmp_path / "export",
            Message_v1=list(messages),
            CalendarView_v0=list(events),
            User_v1=[user(MEGAN), user(ALEX), user(LIDIA)],
        )
        folder = write_crm(tmp_path / "crm", **crm) if crm else None
        return collect(tmp_path / root, export, months, internal_domains=["contoso.com"], as_of=AS_OF, crm=folder)

    return lake


def only(rows, **wanted):
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def test_half_an_hour_with_three_of_ours_and_two_of_theirs_is_90_and_30_minutes(lake):
    """N10."""
    people = [(MEGAN, "accepted"), (ALEX, "accepted"), (ANA, "accepted"), (BERT, "none")]
    events = meeting([MEGAN, ALEX, LIDIA], organizer=LIDIA, attendees=people, start=at(3, 5), uid="one")
    tables = build_all(lake(events=events), AS_OF)
    for row in (
        only(tables["contact_kpis"], contact_email=ANA),
        only(tables["account_kpis"], account_id="fabrikam.com"),
    ):
        assert (row["team_minutes"], row["customer_minutes"], row["meetings_sent"]) == (90.0, 30.0, 1)


def test_three_mails_and_one_reply_are_three_answered_by_one(lake):
    """N8, across a month's end."""
    mails = [
        mail
        for number, moment in enumerate([at(2, 27), at(2, 28), at(3, 1)])
        for mail in email([MEGAN], sender=ANA, to=[MEGAN], at=moment, conversation="c", message_id=f"<q{number}@x>")
    ]
    mails += email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), conversation="c", message_id="<a@x>")
    row = only(build_all(lake(mails), AS_OF)["contact_kpis"], contact_email=ANA)
    assert (row["replies_by_us"], row["response_rate_by_us"], row["median_response_hours_by_us"]) == (1, 1.0, 48.0)
    assert (row["conversations_started_by_us"], row["conversations_started_by_them"]) == (0, 1)


def test_replies_are_counted_in_a_lake_whose_bulk_flags_are_missing(lake):
    """B7, N8: as earlier versions left it where a source gives no headers."""
    context = lake(
        [
            *email([MEGAN], sender=ANA, to=[MEGAN], at=at(3, 2), conversation="c", message_id="<q@x>"),
            *email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2, 11), conversation="c", message_id="<a@x>"),
        ]
    )
    folder = context.layout.month("email", "2025-03")
    manifest = read_manifest(folder)
    (path,) = manifest.paths(folder)
    rows = pq.read_table(path, partitioning=None)
    rows = rows.set_column(rows.column_names.index("is_bulk"), "is_bulk", pa.nulls(rows.num_rows, pa.bool_()))
    pq.write_table(rows, temp := folder / "temp.parquet")
    files = [adopt_part(temp, "email", rows.num_rows)]
    commit_manifest(
        folder,
        epoch=manifest.epoch,
        table="email",
        month="2025-03",
        files=files,
        fence=context.fence,
        quality=manifest.quality,
        first_at=manifest.first_at,
        last_at=manifest.last_at,
    )
    row = only(build_all(context, AS_OF)["contact_kpis"], contact_email=ANA)
    assert (row["replies_by_us"], row["median_response_hours_by_us"]) == (1, 2.0)


def test_of_two_emails_at_one_instant_theirs_starts_the_conversation(lake):
    """N8."""
    mails = [
        *email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), conversation="c", message_id="<a@x>"),
        *email([MEGAN], sender=ANA, to=[MEGAN], at=at(3, 2), conversation="c", message_id="<b@x>"),
    ]
    row = only(build_all(lake(mails), AS_OF)["contact_kpis"], contact_email=ANA)
    assert (row["conversations_started_by_us"], row["conversations_started_by_them"]) == (0, 1)


CRM_ROWS = {
    "accounts": [{"accountid": "ac1", "name": "Fabrikam", "_primarycontactid_value": "co1"}],
    "contacts": [
        {"contactid": "co1", "fullname": "Ana", "emailaddress1": ANA, "_parentcustomerid_value": "ac1"},
        {"contactid": "co2", "fullname": "Bert", "emailaddress1": BERT, "_parentcustomerid_value": "ac1"},
    ],
    "leads": [{"leadid": "le1", "fullname": "Dora", "emailaddress1": "dora@x.example", "_ownerid_value": MEGAN}],
    "stakeholders": [{"record_type": "lead", "record_id": "le1", "contactid": "co2"}],
    "opportunities": [
        {"opportunityid": "op1", "_parentaccountid_value": "ac1", "_ownerid_value": oid(MEGAN), "statecode": 0},
        {"opportunityid": "op2", "_parentaccountid_value": "ac1", "_ownerid_value": oid(MEGAN), "statecode": 1},
    ],
}


def call(number, caller, callee, regarding=None):
    return {
        "activityid": f"ca{number}",
        "from_address": caller,
        "to_addresses": callee,
        "directioncode": "true",
        "actualstart": "2025-03-05T10:00:00Z",
        "actualdurationminutes": 10,
        "_regardingobjectid_value": regarding,
        "regarding_type": "opportunity" if regarding else None,
    }


def test_a_call_by_a_non_owner_to_a_leads_stakeholder_does_not_count_for_the_lead(lake):
    calls = [call(1, ALEX, BERT), call(2, MEGAN, BERT)]
    tables = build_all(lake(crm=CRM_ROWS | {"phonecalls": calls}), AS_OF)
    assert only(tables["lead_kpis"], lead_id="le1")["phone_calls_made"] == 1
    assert only(tables["contact_kpis"], contact_email=BERT)["phone_calls_made"] == 2


def test_the_primary_contact_counts_for_an_opportunity_only_regarding_it_and_with_the_team(lake):
    events = [
        copy
        for colleague, uid, day in ((MEGAN, "by-team", 5), (ALEX, "by-other", 6), (MEGAN, "not-regarding", 7))
        for copy in meeting(
            [colleague],
            organizer=colleague,
            attendees=[(ANA, "accepted")],
            start=at(3, day),
            minutes=60,
            uid=uid,
        )
    ]
    appointments = [
        {
            "globalobjectid": row["iCalUId"],
            "scheduledstart": row["start"]["dateTime"].rstrip("Z") + "Z",
            "_regardingobjectid_value": "op1",
            "regarding_type": "opportunity",
        }
        for row in events[:2]
    ]
    tables = build_all(lake(events=events, crm=CRM_ROWS | {"appointments": appointments}), AS_OF)
    assert only(tables["opportunity_kpis"], opportunity_id="op1")["meetings_sent"] == 1
    assert only(tables["opportunity_kpis"], opportunity_id="op2")["health_state"] == "not_applicable"


def test_what_is_regarding_an_account_counts_once_for_it(lake):
    """Section 6: the month has counted it already, for a contact of the account takes part."""
    mails = [
        *email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 3), message_id="<sent@x>"),
        *email([MEGAN], sender=ANA, to=[MEGAN], at=at(3, 4), message_id="<received@x>"),
    ]
    events = meeting([MEGAN], organizer=MEGAN, attendees=[(ANA, "accepted")], start=at(3, 8), uid="met")
    regarding = {"_regardingobjectid_value": "ac1", "regarding_type": "account"}
    listed = {
        "emails": [{"messageid": f"<{name}@x>"} | regarding for name in ("sent", "received")],
        "appointments": [{"globalobjectid": "met", "scheduledstart": "2025-03-08T09:00:00Z"} | regarding],
    }
    tables = build_all(lake(mails, events, crm=CRM_ROWS | listed), AS_OF)
    row = only(tables["account_kpis"], account_id="ac1")
    assert (row["emails_sent"], row["emails_received"], row["meetings_sent"]) == (1, 1, 1)
    assert row["team_minutes"] == only(tables["contact_kpis"], contact_email=ANA)["team_minutes"]


def test_what_a_stranger_to_an_account_took_part_in_counts_for_it_where_the_crm_says_so(lake):
    mails = email([MEGAN], sender=MEGAN, to=["dora@x.example"], at=at(3, 3), message_id="<a@x>")
    listed = {"emails": [{"messageid": "<a@x>", "_regardingobjectid_value": "ac1", "regarding_type": "account"}]}
    tables = build_all(lake(mails, crm=CRM_ROWS | listed), AS_OF)
    assert only(tables["account_kpis"], account_id="ac1")["emails_sent"] == 1


def regarding(kind, record, *, messages=(), meetings=()):
    named = {"_regardingobjectid_value": record, "regarding_type": kind}
    return {
        "emails": [{"messageid": message_id} | named for message_id in messages],
        "appointments": [{"globalobjectid": uid, "scheduledstart": start} | named for uid, start in meetings],
    }


def between_megan_and_a_stranger():
    dora = "dora@x.example"
    mails = [
        *email([MEGAN, ALEX], sender=dora, to=[MEGAN], cc=[ALEX], at=at(3, 3), conversation="c", message_id="<q@x>"),
        *email([MEGAN], sender=MEGAN, to=[dora], at=at(3, 3, 11), conversation="c", message_id="<a@x>"),
        *email([MEGAN], sender=MEGAN, to=[dora], at=at(3, 4), message_id="<not-listed@x>"),
    ]
    events = meeting([MEGAN], organizer=MEGAN, attendees=[(dora, "accepted")], start=at(3, 8), minutes=30, uid="met")
    return mails, events


LISTED = {"messages": ["<q@x>", "<a@x>"], "meetings": [("met", "2025-03-08T09:00:00Z")]}


@pytest.mark.parametrize(
    ("kind", "record", "table", "key"),
    [
        ("opportunity", "op1", "opportunity_kpis", {"opportunity_id": "op1"}),
        ("account", "ac1", "account_kpis", {"account_id": "ac1"}),
        ("contact", "co2", "contact_kpis", {"contact_email": BERT}),
    ],
)
def test_what_is_regarding_a_record_counts_for_it_whoever_took_part(lake, kind, record, table, key):
    """Section 6: the sender is nobody's contact in the CRM."""
    crm = CRM_ROWS | regarding(kind, record, **LISTED) | {"phonecalls": [call(1, MEGAN, BERT, regarding="op2")]}
    tables = build_all(lake(*between_megan_and_a_stranger(), crm=crm), AS_OF)
    row = only(tables[table], **key)
    assert (row["emails_received"], row["emails_sent"], row["meetings_sent"]) == (1, 1, 1)
    assert (row["replies_by_us"], row["median_response_hours_by_us"]) == (1, 2.0)
    assert (row["conversations_started_by_us"], row["conversations_started_by_them"]) == (0, 1)
    assert only(tables["contact_kpis"], contact_email="dora@x.example")["emails_sent"] == 2


def test_what_is_regarding_a_record_counts_for_it_though_nobody_outside_took_part(lake):
    """Section 6: always."""
    mails = email([MEGAN], sender=MEGAN, to=["board@contoso.com"], at=at(3, 3), message_id="<q@x>")
    held, planned = (
        meeting([MEGAN], organizer=MEGAN, attendees=[(ALEX, "accepted")], start=start, minutes=30, uid="met")
        for start in (at(3, 8), at(4, 25))
    )
    listed = LISTED | {"meetings": [("met", "2025-03-08T09:00:00Z"), ("met", "2025-04-25T09:00:00Z")]}
    crm = CRM_ROWS | regarding("opportunity", "op1", **listed)
    row = only(build_all(lake(mails, [*held, *planned], crm=crm), AS_OF)["opportunity_kpis"], opportunity_id="op1")
    assert (row["emails_sent"], row["meetings_sent"], row["team_minutes"]) == (1, 1, 35.0)
    assert (row["customer_minutes"], row["next_meeting_at"]) == (30.0, at(4, 25))


def test_what_the_crm_begins_or_ceases_to_list_counts_at_the_next_build(lake):
    context = lake(*between_megan_and_a_stranger(), crm=CRM_ROWS)
    build_all(context, AS_OF)
    listing = lake(crm=CRM_ROWS | regarding("opportunity", "op1", **LISTED), root="elsewhere").crm
    for crm, wanted in ((listing, 1), (context.crm, 0)):
        row = only(build_all(replace(context, crm=crm), AS_OF)["opportunity_kpis"], opportunity_id="op1")
        assert (row["emails_received"] or 0, row["meetings_sent"] or 0) == (wanted, wanted)


def test_what_is_regarding_a_record_outside_the_window_does_not_count(lake):
    """N5."""
    crm = CRM_ROWS | regarding("opportunity", "op1", **LISTED)
    tables = build_all(lake(*between_megan_and_a_stranger(), crm=crm), at(3, 3, 10))
    row = only(tables["opportunity_kpis"], opportunity_id="op1")
    assert (row["emails_received"], row["emails_sent"], row["meetings_sent"]) == (1, 0, 0)


def test_a_month_that_was_not_read_for_meetings_is_partial(lake):
    """B2."""
    context = lake(email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), message_id="<a@x>"), months=every_month())
    assert {row["computation_accuracy"] for row in build_all(context, AS_OF)["contact_kpis"]} == {"complete"}
    shutil.rmtree(context.layout.month("meetings", "2025-03"))
    assert {row["computation_accuracy"] for row in build_all(context, AS_OF)["contact_kpis"]} == {"partial"}


def every_month():
    return month_range("2024-04", "2025-04")


def test_a_month_is_counted_anew_when_an_owner_whom_no_mail_names_leaves_the_scope(lake):
    """N9: mail to a list counts as that of the people in whose mailboxes it lay."""
    context = lake(email([MEGAN, ALEX], sender=ANA, to=["sales@contoso.com"], at=at(3, 3), message_id="<a@x>"))
    assert only(build_all(context, AS_OF)["contact_kpis"], contact_email=ANA)["team_minutes"] == 5.0
    rows = [row | {"in_scope": row["primary_address"] != ALEX} for row in context.people.to_pylist()]
    fewer = replace(context, people=pa.Table.from_pylist(rows, schema=context.people.schema))
    assert only(build_all(fewer, AS_OF)["contact_kpis"], contact_email=ANA)["team_minutes"] == 2.5


def test_a_colleague_whose_mail_address_is_another_users_is_shown_by_an_address_of_their_own(tmp_path):
    """N2: not by the Exchange DN, which sorts first."""
    zed = "zed@contoso.com"
    mails = email([zed], sender=zed, to=[ANA], at=at(3, 2), message_id="<a@x>")
    export = write_export(tmp_path / "export", Message_v1=mails, User_v1=[user(MEGAN), user(zed)])
    context = collect(tmp_path / "data", export, MONTHS, internal_domains=["contoso.com"], as_of=AS_OF)
    rows = context.people.to_pylist()
    assert any(row["address"].startswith("x500:") and row["primary_address"] == zed for row in rows)
    rows = [row | {"primary_address": MEGAN} for row in rows]
    borrowed = replace(context, people=pa.Table.from_pylist(rows, schema=context.people.schema))
    assert [row["colleague_email"] for row in build_all(borrowed, AS_OF)["who_knows_whom"]] == [zed]


def test_months_in_any_order_give_the_same_tables_and_a_second_build_writes_nothing(lake):
    """B5, B8."""
    mails = [
        *email([MEGAN, ALEX], sender=ANA, to=[MEGAN], at=at(2, 28, 23, 59), message_id="<border@x>"),
        *email([LIDIA], sender=ANA, to=[LIDIA, MEGAN], at=at(3, 1, 0, 1), message_id="<border@x>"),
    ]
    forward = lake(mails, root="one")
    backward = lake(mails, months=MONTHS[::-1], root="two")
    for month in MONTHS:
        build_month(forward, month)
    built = {"one": build_all(forward, AS_OF), "two": build_all(backward, AS_OF)}
    for tables in built.values():
        for row in (*tables["contact_kpis"], *tables["account_kpis"], *tables["batches"]):
            row.pop("updated_at", None)
            row.pop("read_at", None)
    assert built["one"] == built["two"]
    first = build_kpis(forward, AS_OF)
    assert build_kpis(forward, AS_OF) == first


def test_a_month_is_derived_again_only_when_someone_in_it_changes_sides(lake):
    mails = email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), message_id="<a@x>")
    context = lake(mails)
    before = {month: build_month(context, month) for month in MONTHS}
    stranger = pa.table({"domain": pa.array(["contoso.com", "nobody.example"])})
    after = {month: build_month(replace(context, internal_domains=stranger), month) for month in MONTHS}
    assert {month: manifest.files for month, manifest in after.items()} == {
        month: manifest.files for month, manifest in before.items()
    }
    inside = pa.table({"domain": pa.array(["contoso.com", "fabrikam.com"])})
    changed = build_month(replace(context, internal_domains=inside), "2025-03")
    assert changed.files != before["2025-03"].files


def test_a_month_goes_on_counting_what_it_settled_when_only_the_directory_changes(lake):
    """B5: the copy received in March belongs to February's email, whoever joins or leaves the company."""
    context = lake(
        [
            *email([MEGAN, ALEX], sender=ANA, to=[MEGAN], at=at(2, 28, 23, 59), message_id="<border@x>"),
            *email([LIDIA], sender=ANA, to=[LIDIA, MEGAN], at=at(3, 1, 0, 1), message_id="<border@x>"),
        ]
    )
    before = {month: build_month(context, month) for month in ("2025-02", "2025-03")}
    assert before["2025-03"].quality == {"settled_emails": 1, "settled_copies": 1}
    stranger = pa.table({"domain": pa.array(["contoso.com", "nobody.example"])})
    for month, known in before.items():
        after = build_month(replace(context, internal_domains=stranger), month)
        assert after.inputs["identities"] != known.inputs["identities"]
        assert (after.quality, after.files) == (known.quality, known.files)
        assert {name: after.inputs[name] for name in ("before_used", "after_used")} == {
            name: known.inputs[name] for name in ("before_used", "after_used")
        }


def test_built_tables_have_the_published_columns_and_types(lake):
    import pyarrow.parquet as pq

    context = lake(email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), message_id="<a@x>"))
    for table, manifest in (build_kpis(context, AS_OF) | build_who_knows_whom(context, AS_OF)).items():
        for path in manifest.paths(context.layout.insight(table)):
            found = [(field.name, field.type) for field in pq.read_schema(path)]
            assert found == [(field.name, field.type) for field in PUBLISHED[table].schema]


def test_built_tables_are_sorted_as_published(lake):
    """Look-ups skip what is sorted elsewhere. Addresses of colleagues lie among those of contacts."""
    ours, theirs = [ALEX, LIDIA, MEGAN], [ANA, BERT, "kim@a.example", "zoe@z.example"]
    mails = [
        mail
        for number, sender in enumerate(ours)
        for to in [*ours[number + 1 :], *theirs]
        for mail in email([sender], sender=sender, to=[to], at=at(3, 2 + number), message_id=f"<{sender}{to}>")
    ]
    context = lake(mails)
    for table, manifest in (build_kpis(context, AS_OF) | build_who_knows_whom(context, AS_OF)).items():
        keys = [
            tuple(row[column] for column in PUBLISHED[table].sort_by) for row in read_table(context, table, manifest)
        ]
        assert keys == sorted(keys), table
    edges = read_table(context, "graph_edges", build_contact_graph(context, AS_OF)["graph_edges"])
    assert [(edge["target"], edge["source"]) for edge in edges] == sorted(
        [(contact, colleague) for contact in theirs for colleague in ours]
        + [(LIDIA, ALEX), (MEGAN, ALEX), (MEGAN, LIDIA)]
    )


def test_only_colleagues_who_may_introduce_are_shown(lake):
    """K2, K5."""
    mails = [
        *email([MEGAN], sender=MEGAN, to=[ANA], at=at(3, 2), message_id="<a@x>"),
        *email([ALEX], sender=ALEX, to=[ANA], at=at(3, 3), message_id="<b@x>"),
        *email([LIDIA], sender=ANA, to=[LIDIA], at=at(3, 4), message_id="<c@x>"),
    ]
    context = lake(mails)
    rows = [row | {"may_introduce": row["address"] != ALEX} for row in context.people.to_pylist()]
    context = replace(context, people=pa.Table.from_pylist(rows, schema=context.people.schema))
    manifests = build_who_knows_whom(context, AS_OF)
    shown = read_table(context, "who_knows_whom", manifests["who_knows_whom"])
    assert [(row["contact_email"], row["rank"], row["colleague_email"]) for row in shown] == [(ANA, 1, MEGAN)]
    parts = read_table(context, "strength_components", manifests["strength_components"])
    assert sum(row["points"] for row in parts) == shown[0]["strength"]


def test_a_day_of_contact_counts_once_however_late_its_mail_arrived(lake):
    """K3, N4: days go by sent_at, months by received_at. One email to Ana arrived within its month, on whose last day
    they also met; one written that evening and one of another day arrived in the next. A clock that ran ahead dates one of
    the last evening to the next month's first day, on which there was another."""
    sent = [at(2, 28), at(2, 28, 23), at(2, 26), at(3, 1, 0, 10), at(3, 1, 8)]
    received = [at(2, 28, 10), at(3, 1), at(3, 2), at(2, 28, 23, 40), at(3, 1, 8)]
    met = at(2, 28, 15)
    mails = [
        message(MEGAN, sender=MEGAN, to=[ANA], at=there, sent=here, message_id=f"<{number}@x>")
        for number, (here, there) in enumerate(zip(sent, received, strict=True))
    ]
    events = meeting([MEGAN], organizer=MEGAN, attendees=[(ANA, "accepted")], start=met, uid="one")
    interactions = [*(Interaction(when, Kind.OUTWARD) for when in sent), Interaction(met, Kind.MEETING)]
    context = lake(mails, events)
    for as_of in (AS_OF, at(3, 2, 12)):
        (shown,) = read_table(context, "who_knows_whom", build_who_knows_whom(context, as_of)["who_knows_whom"])
        assert shown["strength"] == displayed_strength(score(tie_sums(interactions, as_of)))


def test_an_all_hands_that_both_accepted_makes_no_tie(lake):
    """K2: above 50 nothing counts, meetings no more than emails."""
    crowd = [(f"guest{number}@fabrikam.com", "accepted") for number in range(51)]
    events = meeting([MEGAN], organizer=MEGAN, attendees=[(ANA, "accepted"), *crowd], start=at(3, 5), uid="all")
    context = lake(events=events)
    assert read_table(context, "who_knows_whom", build_who_knows_whom(context, AS_OF)["who_knows_whom"]) == []


@settings(max_examples=50, deadline=None)
@given(
    activity=st.floats(0, 200),
    silent=st.integers(0, 366),
    sides=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    ours=st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 168)),
    theirs=st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 168)),
    counts=st.tuples(st.integers(0, 30), st.integers(0, 90), st.integers(0, 60)),
)
def test_the_macros_of_health_agree_with_its_definition(activity, silent, sides, ours, theirs, counts):
    inputs = health.HealthInputs(
        activity, silent, *sides,
        answered_by_us=ours[0], asked_by_them=ours[1], hours_by_us=ours[2],
        answered_by_them=theirs[0], asked_by_us=theirs[1], hours_by_them=theirs[2],
    )  # fmt: skip
    constants = asdict(health.DEFAULT_CONSTANTS) | HealthSettings().model_dump()
    with duckdb.connect() as engine:
        engine.execute(sql("relationship_pipeline.insights", "health_macros")).fetchall()
        values = asdict(inputs) | {"recent": counts[0], "base": counts[1], "gap": counts[2], "k": constants}
        (found,) = engine.execute(
            """select
                activity_share($activity, $k), recency_share($days_since_last, $k), engagement_share($ours, $theirs),
                responsiveness_share(
                    answering($answered_by_us, $asked_by_them, $hours_by_us, $k),
                    answering($answered_by_them, $asked_by_us, $hours_by_them, $k), $k),
                health_trend($recent, $base, $days_since_last, $gap, $k)""",
            values,
        ).fetchall()
    assert found[:4] == pytest.approx(tuple(health.shares(inputs, 7).values()))
    assert found[4] == health.trend(counts[0], counts[1], silent, counts[2], health.DEFAULT_CONSTANTS)


def test_silence_raises_alerts_at_three_and_eight_times_the_usual_gap(lake):
    mails = [
        mail
        for contact, last in ((ANA, 14), (BERT, 2))
        for number in range(4)
        for mail in email(
            [MEGAN],
            sender=MEGAN,
            to=[contact],
            at=at(4, last) - timedelta(days=2 * number),
            message_id=f"<{contact}-{number}>",
        )
    ]
    alerts = build_all(lake(mails), AS_OF)["alerts"]
    kinds = {row["record_id"]: row["kind"] for row in alerts if row["record_type"] == "contact"}
    assert kinds == {BERT: "lapsed"}


@pytest.mark.parametrize(
    ("silent", "detail"), [(0, "one contact only"), (2, "one of 3 contacts was in touch in the last 90 days")]
)
def test_a_single_threaded_account_counts_contacts_that_only_the_crm_knows(lake, silent, detail):
    """Product.md 7: one live contact; the alert names as many contacts as account_kpis does."""
    contacts = [
        {"contactid": f"c{number}", "emailaddress1": f"silent{number}@fabrikam.com", "_parentcustomerid_value": "a1"}
        for number in range(silent)
    ]
    crm = {"accounts": [{"accountid": "a1", "name": "Fabrikam", "websiteurl": "fabrikam.com"}], "contacts": contacts}
    mails = [mail for day in (2, 4, 6) for mail in email([MEGAN], sender=ANA, to=[MEGAN], at=at(4, day))]
    tables = build_all(lake(mails, crm=crm), AS_OF)
    assert only(tables["account_kpis"], account_id="a1")["contacts"] == 1 + silent
    alert = only(tables["alerts"], record_type="account", record_id="a1")
    assert (alert["kind"], alert["since"], alert["detail"]) == ("single_threaded", at(4, 2), detail)


def test_an_account_has_its_web_site_s_domain_however_that_is_spelled(lake):
    """N1, N11: a web site in the letters of its language is the mail domain in IDNA."""
    crm = {"accounts": [{"accountid": "b1", "name": "Bücher", "websiteurl": "https://www.BÜCHER.example/laden"}]}
    mails = email([MEGAN], sender="ana@xn--bcher-kva.example", to=[MEGAN], at=at(4, 2))
    tables = build_all(lake(mails, crm=crm), AS_OF)
    assert only(tables["contact_kpis"], contact_email="ana@xn--bcher-kva.example")["account_id"] == "b1"


def test_what_is_closed_has_no_health_from_the_month_of_its_closing_on(lake):
    """Product.md 7: not_applicable, in health_history as in the KPI tables."""
    crm = {
        "contacts": [{"contactid": "c1", "fullname": "Ana Anaya", "emailaddress1": ANA}],
        "opportunities": [
            {"opportunityid": name, "_ownerid_value": oid(MEGAN), "_parentcontactid_value": "c1"} | state
            for name, state in {
                "open": {"statecode": 0},
                "won": {"statecode": 1, "actualclosedate": "2025-03-10"},
                "lost": {"statecode": 2},
            }.items()
        ],
    }
    mails = [
        mail
        for month in (2, 3, 4)
        for day in (3, 5, 7)
        for mail in email([MEGAN], sender=ANA, to=[MEGAN], at=at(month, day))
    ]
    tables = build_all(lake(mails, crm=crm), AS_OF)
    told = {
        name: {
            row["month"]: row["health_score"] is not None
            for row in tables["health_history"]
            if row["record_type"] == "opportunity" and row["record_id"] == name
        }
        for name in ("open", "won", "lost")
    }
    assert told == {
        "open": {"2025-02": True, "2025-03": True, "2025-04": True},
        "won": {"2025-02": True, "2025-03": False, "2025-04": False},
        "lost": {"2025-02": True, "2025-03": True, "2025-04": False},
    }
    for row in tables["opportunity_kpis"]:
        last = only(tables["health_history"], record_id=row["opportunity_id"], month="2025-04")
        assert (last["health_score"], last["health_state"]) == (row["health_score"], row["health_state"])


def test_o6_a_lead_of_somebody_who_appears_nowhere_has_no_name(lake):
    leads = [
        {"leadid": "l1", "fullname": "Ana Anaya", "companyname": "Fabrikam", "emailaddress1": ANA, "statecode": 0},
        {"leadid": "l2", "fullname": "Bert Berg", "companyname": "Fabrikam", "emailaddress1": BERT, "statecode": 0},
    ]
    mails = email([MEGAN], sender=MEGAN, to=[ANA, BERT], at=at(4, 2))
    context = replace(lake(mails, crm={"leads": leads}), hidden_addresses=pa.table({"address": [ANA]}))
    rows = read_table(context, "lead_kpis", build_kpis(context, AS_OF)["lead_kpis"])
    assert {row["lead_id"]: row["lead_name"] for row in rows} == {"l1": None, "l2": "Bert Berg"}
