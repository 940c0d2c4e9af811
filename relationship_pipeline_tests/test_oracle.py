"""The recount against numbers worked out by hand from product.md, and on the real export where it is at hand."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from relationship_pipeline_tests.factories import (
    X500,
    Tenant,
    email,
    event,
    folder_id,
    mail_folder,
    meeting,
    message,
    oid,
    summary_row,
    tenants,
    user,
    write_crm,
    write_export,
    x500,
)
from relationship_pipeline_tests.oracle import differences, read_crm, read_export, recount
from relationship_pipeline_tests.oracle.addresses import normalise, registrable_domain
from relationship_pipeline_tests.oracle.mail import conversation_key, internet_message_key

AS_OF = datetime(2025, 4, 20, 12, tzinfo=UTC)
MEGAN, ALEX, LIDIA = "megan@contoso.com", "alex@contoso.com", "lidia@contoso.com"
ANA, BERT, CARLA = "ana@fabrikam.com", "bert@fabrikam.com", "carla@gmail.com"
USERS = [user(MEGAN), user(ALEX), user(LIDIA)]
REAL_EXPORT = Path(__file__).parents[1] / ".." / "shared" / "data" / "enron_export"


def day(number, hour=9, minute=0, second=0):
    """An instant in March 2025."""
    return datetime(2025, 3, number, hour, minute, second, tzinfo=UTC)


@pytest.fixture
def count(tmp_path):
    """Write rows as an export (and a CRM folder), recount them, give all tables."""

    def count(messages=(), events=(), *, users=USERS, folders=(), crm=None, **options):
        export = write_export(
            tmp_path / "export",
            Message_v1=messages,
            CalendarView_v0=events,
            User_v1=users,
            MailFolder_v0=folders,
        )
        rows = read_crm(write_crm(tmp_path / "crm", **crm)) if crm else None
        options = {"as_of": AS_OF, "internal_domains": ["contoso.com"]} | options
        return recount(read_export(export), crm=rows, **options)

    return count


def only(rows, **wanted):
    """The one row with these values."""
    found = [row for row in rows if all(row[column] == value for column, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def batch(tables, month):
    return only(tables["batches"], month=month)


def assert_batches_add_up(tables):
    """interfaces.md 6: copies read are kept, duplicate, dropped, left out by the cap or settled to another month."""
    parts = ("distinct_emails", "duplicates", "dropped", "left_out_copies", "settled_copies")
    for row in tables["batches"]:
        assert row["copies_read"] == sum(row[part] for part in parts)


# --- spelling (N1, N11, B5, B7) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Ana@Fabrikam.com", ANA),
        ("  ana@fabrikam.com\t", ANA),
        ("'Ana' <ANA@fabrikam.com>", ANA),
        ("MAILTO:ana@fabrikam.com", ANA),
        ("'MAILTO:ana@fabrikam.com'", ANA),
        ("<smtp:ana@fabrikam.com>", ANA),
        ("'ana@fabrikam.com'", ANA),
        ("ana+news@fabrikam.com", "ana+news@fabrikam.com"),
        ("emil@BÜCHER.example", "emil@xn--bcher-kva.example"),
        ("o'day@fabrikam.com", "o'day@fabrikam.com"),
        ("'ana@fabrikam.com", ANA),
        ("ana@b@fabrikam.com", None),
        ("sales <.east@fabrikam.com", None),
        ("ana", None),
        ("@fabrikam.com", None),
        ("", None),
        (None, None),
        (X500 + "ana", None),
        ("a" * 307 + "@fabrikam.com", "a" * 307 + "@fabrikam.com"),
        ("a" * 308 + "@fabrikam.com", None),
    ],
)
def test_n1_address(raw, expected):
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a@mail.fabrikam.co.uk", "fabrikam.co.uk"),
        ("a@shop.github.io", "shop.github.io"),
        ("a@deep.shop.github.io", "shop.github.io"),
        ("a@github.io", None),
        ("a@localhost", None),
    ],
)
def test_n11_registrable_domain_with_private_section(address, expected):
    assert registrable_domain(address) == expected


def test_b5_message_id_ignores_case_of_its_domain_only():
    assert internet_message_key(" <Ab@Mail.COM> ") == internet_message_key("<Ab@mail.com>")
    assert internet_message_key("<ab@mail.com>") != internet_message_key("<Ab@mail.com>")


def test_b7_conversation_key_is_the_same_in_every_mailbox_and_from_the_index():
    rows = [message(mailbox, sender=ANA, at=day(3), conversation="deal") for mailbox in (MEGAN, ALEX)]
    assert rows[0]["conversationId"] != rows[1]["conversationId"]
    keys = {conversation_key(row["conversationId"], None) for row in rows}
    keys.add(conversation_key("no base64", rows[0]["conversationIndex"]))
    assert len(keys) == 1
    url_safe = rows[0]["conversationId"].replace("/", "-").replace("+", "_")
    assert {conversation_key(url_safe, None)} == keys
    assert conversation_key("as it stands", None) == "as it stands"


def test_b7_conversation_key_of_a_real_row():
    # From the Message_v1 sample of the Data Connect documentation: id (Exchange's alphabet) and index agree.
    conversation = "AAQkAGRjNDFjNDY1LTVmNzUtNGViNC1hOTk2LWM5OGUyYmYxNTcyYwAQAEH3XvVUpNJPt-00pKRWQ_0="
    index = "AQHW+cTKQfde9VSk0k+3/TSkpFZD7Q=="
    assert conversation_key(conversation, None) == conversation_key(None, index) == "41f75ef554a4d24fb7fd34a4a45643ed"


# --- emails and batches (B2, B4-B6, N2-N5) ----------------------------------------------------------------------------


def test_n4_an_email_in_three_mailboxes_is_one_with_all_recipients(count):
    copies = [
        message(MEGAN, sender=ANA, to=[MEGAN], at=day(3), message_id="<1@x>"),
        message(ALEX, sender=ANA, to=[MEGAN], cc=[ALEX], at=day(3, 10), message_id="<1@X>"),
        message(LIDIA, sender=ANA, to=[MEGAN], at=day(3, 11), message_id="<1@x> "),
    ]
    tables = count(copies)
    assert batch(tables, "2025-03") | {"status": None} == {
        "month": "2025-03",
        "copies_read": 3,
        "distinct_emails": 1,
        "duplicates": 2,
        "dropped": 0,
        "left_out_by_cap": 0,
        "mailboxes_expected": 3,
        "mailboxes_read": 3,
        "status": None,
        "left_out_copies": 0,
        "settled_copies": 0,
    }
    row = only(tables["contact_kpis"], contact_email=ANA)
    # 2.5 minutes for each of the three: two named, one by his mailbox alone (N9).
    assert (row["emails_received"], row["team_minutes"], row["customer_minutes"]) == (1, 7.5, 5.0)


def test_b5_copies_on_both_sides_of_a_months_end_belong_to_the_earlier_month(count):
    end, begin = datetime(2025, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    tables = count(
        [
            message(MEGAN, sender=ANA, to=[MEGAN], at=end, message_id="<1@x>"),
            message(ALEX, sender=ANA, to=[MEGAN], at=begin, message_id="<1@x>"),
            message(LIDIA, sender=ANA, to=[MEGAN], at=begin, message_id="<1@x>"),
        ]
    )
    february, march = batch(tables, "2025-02"), batch(tables, "2025-03")
    assert (february["copies_read"], february["distinct_emails"], february["duplicates"]) == (1, 1, 0)
    assert (march["copies_read"], march["distinct_emails"], march["duplicates"]) == (2, 0, 0)
    assert march["settled_copies"] == 2
    assert only(tables["contact_kpis"], contact_email=ANA)["emails_received"] == 1
    assert_batches_add_up(tables)


def test_b5_month_of_the_first_copy_that_is_collected(count):
    rows = [
        message(MEGAN, sender=ANA, to=[MEGAN], at=datetime(2025, 2, 28, tzinfo=UTC), message_id="<1@x>"),
        message(ALEX, sender=ANA, to=[MEGAN], at=day(1), message_id="<1@x>"),
    ]
    tables = count(rows, months=["2025-03", "2025-04"])
    assert batch(tables, "2025-03")["distinct_emails"] == 1
    assert only(tables["rejected"], reason="outside_months")["rows"] == 1


def test_b5_without_message_id_the_same_sender_time_and_recipients_are_one_email(count):
    same = [
        message(MEGAN, sender=ANA, to=[MEGAN, ALEX], at=day(3), message_id=None),
        message(
            ALEX, sender=ANA.upper(), to=[ALEX], cc=[f"'M' <{MEGAN}>"], at=day(3, 9, 5), sent=day(3), message_id=" "
        ),
    ]
    other = message(LIDIA, sender=ANA, to=[LIDIA], at=day(3), message_id=None)
    assert batch(count([*same, other]), "2025-03")["distinct_emails"] == 2


def test_b5_one_item_in_two_data_sets_is_one_copy(tmp_path):
    row = message(MEGAN, sender=MEGAN, to=[ANA], at=day(3))
    write_export(tmp_path, pascal={"SentItem_v0"}, Message_v1=[row], SentItem_v0=[row], User_v1=USERS)
    tables = recount(read_export(tmp_path), as_of=AS_OF, internal_domains=["contoso.com"])
    assert batch(tables, "2025-03")["copies_read"] == 1


def test_b2_the_cap_keeps_the_newest_and_marks_what_it_left_out(count):
    rows = [row for number in (3, 4, 5) for row in email([MEGAN, ALEX], sender=ANA, to=[MEGAN], at=day(number))]
    tables = count(rows, cap=2)
    march = batch(tables, "2025-03")
    assert (march["copies_read"], march["distinct_emails"], march["duplicates"]) == (6, 2, 2)
    assert (march["left_out_by_cap"], march["status"]) == (1, "partial")
    assert march["left_out_copies"] == 2
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["first_interaction_at"], row["computation_accuracy"]) == (day(4), "partial")
    assert_batches_add_up(tables)


def test_b4_b6_meeting_messages_drafts_and_left_out_folders_are_dropped(count):
    folders = [
        mail_folder(MEGAN, "Deleted Items"),
        mail_folder(MEGAN, "Old", parent="Deleted Items"),
        mail_folder(MEGAN, "Junk Email"),
        mail_folder(MEGAN, "Projects"),
    ]
    tables = count(
        [
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(3), folder="Projects"),
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(4), folder="Junk Email"),
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(5), folder="Old"),
            message(MEGAN, sender=MEGAN, to=[ANA], at=day(6), isDraft=True),
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(7), ODataType="#microsoft.graph.eventMessageRequest"),
            message("stranger@contoso.com", sender=ANA, to=[MEGAN], at=day(8)),
        ],
        folders=folders,
    )
    march = batch(tables, "2025-03")
    assert (march["copies_read"], march["distinct_emails"], march["dropped"]) == (6, 1, 5)
    assert only(tables["batch_details"], month="2025-03")["dropped_by_reason"] == {
        "folder": 2,
        "draft": 1,
        "meeting_message": 1,
        "mailbox_not_in_scope": 1,
    }
    assert only(tables["contact_kpis"], contact_email=ANA)["emails_received"] == 1


def test_n4_an_email_held_in_one_kept_folder_counts_though_another_copy_is_deleted(count):
    rows = email([MEGAN, ALEX], sender=ANA, to=[MEGAN], at=day(3), message_id="<1@x>")
    rows[1]["parentFolderId"] = folder_id(ALEX, "Deleted Items")
    tables = count(rows, folders=[mail_folder(ALEX, "Deleted Items")])
    march = batch(tables, "2025-03")
    assert (march["distinct_emails"], march["duplicates"], march["dropped"]) == (1, 0, 1)
    # Alex is not named and his copy is not held: 2.5 minutes for Megan alone.
    assert only(tables["contact_kpis"], contact_email=ANA)["team_minutes"] == 2.5


@pytest.mark.parametrize(
    ("sent", "expected", "corrected"),
    [
        (day(9), day(9), 0),
        (day(11, 9), day(11, 9), 0),
        (day(11, 9, 0, 1), day(10), 1),
        (day(10) - timedelta(days=30), day(10) - timedelta(days=30), 0),
        (day(10) - timedelta(days=30, seconds=1), day(10), 1),
        (datetime(2044, 1, 1, tzinfo=UTC), day(10), 1),
        (datetime(1601, 1, 1, tzinfo=UTC), day(10), 1),
        (None, day(10), 1),
    ],
)
def test_n4_clock_corrected(count, sent, expected, corrected):
    tables = count([message(MEGAN, sender=ANA, to=[MEGAN], at=day(10), sent=sent)])
    assert only(tables["contact_kpis"], contact_email=ANA)["first_interaction_at"] == expected
    assert only(tables["batch_details"], month="2025-03")["clock_corrected"] == corrected


def test_n5_the_window_goes_by_received_time_to_the_instant(count):
    year_ago = datetime(2024, 4, 20, 12, tzinfo=UTC)
    second = timedelta(seconds=1)
    instants = [year_ago - second, year_ago, AS_OF - second, AS_OF]
    tables = count([message(MEGAN, sender=ANA, to=[MEGAN], at=at) for at in instants])
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["emails_received"], row["first_interaction_at"]) == (2, year_ago)
    assert (row["last_interaction_at"], row["days_since_last_interaction"]) == (AS_OF - second, 0)


def test_n2_sides(count):
    users = [
        user(MEGAN, aliases=["megan@elsewhere.example"]),
        user("guest@contoso.com", user_type="Guest", mail=CARLA, proxyAddresses=[f"SMTP:{CARLA}"]),
    ]
    tables = count(
        [
            message(MEGAN, sender="Megan@Elsewhere.example", to=[ANA], at=day(3)),
            message(MEGAN, sender=x500(MEGAN).upper(), to=[ANA], at=day(4)),
            message(MEGAN, sender="temp@sub.contoso.com", to=[ANA], at=day(5)),
            message(MEGAN, sender=MEGAN, to=["temp@contoso.com", X500 + "gone", ""], at=day(6)),
            message(MEGAN, sender=CARLA, to=[MEGAN], at=day(7)),
            message(MEGAN, sender=None, to=[ANA], at=day(8)),
        ],
        users=users,
    )
    assert {row["contact_email"] for row in tables["contact_kpis"]} == {ANA, CARLA}
    assert only(tables["contact_kpis"], contact_email=ANA)["emails_sent"] == 2
    assert batch(tables, "2025-03")["distinct_emails"] == 6


def test_n3_sender_stands_in_where_from_has_no_address(count):
    row = message(MEGAN, sender=ANA, to=[MEGAN], at=day(3))
    row["from"] = {"emailAddress": {"name": "Ana", "address": ""}}
    assert only(count([row])["contact_kpis"], contact_email=ANA)["emails_received"] == 1


# --- contacts and accounts (N6-N9, N11) -------------------------------------------------------------------------------


def test_n8_three_mails_and_one_reply_are_three_of_three_answered_by_one_reply(count):
    theirs = [message(MEGAN, sender=ANA, to=[MEGAN], at=day(3, hour), conversation="deal") for hour in (9, 10, 12)]
    ours = message(MEGAN, sender=MEGAN, to=[ANA], at=day(3, 13), conversation="deal")
    row = only(count([*theirs, ours])["contact_kpis"], contact_email=ANA)
    assert (row["response_rate_by_us"], row["replies_by_us"], row["replies_by_them"]) == (1.0, 1, 0)
    assert row["median_response_hours_by_us"] == 3.0
    assert row["mean_response_hours_by_us"] == pytest.approx(8 / 3)
    assert row["response_rate_by_them"] == 0.0
    assert (row["conversations_started_by_us"], row["conversations_started_by_them"]) == (0, 1)
    assert (row["sent_received_ratio"], row["received_sent_ratio"]) == (pytest.approx(1 / 3), 3.0)


@pytest.mark.parametrize(("seconds", "rate", "replies"), [(0, 1.0, 1), (1, 0.0, 0)])
def test_n8_an_answer_comes_within_168_hours(count, seconds, rate, replies):
    mail = message(MEGAN, sender=ANA, to=[MEGAN], at=day(3), conversation="deal")
    late = message(MEGAN, sender=MEGAN, to=[ANA], at=day(10) + timedelta(seconds=seconds), conversation="deal")
    row = only(count([mail, late])["contact_kpis"], contact_email=ANA)
    assert (row["response_rate_by_us"], row["replies_by_us"]) == (rate, replies)


def test_n8_a_mail_younger_than_168_hours_without_answer_is_not_yet_unanswered(count):
    age = timedelta(hours=168)
    young = message(MEGAN, sender=ANA, to=[MEGAN], at=AS_OF - age + timedelta(seconds=1), conversation="young")
    assert only(count([young])["contact_kpis"], contact_email=ANA)["response_rate_by_us"] is None
    old = message(MEGAN, sender=BERT, to=[MEGAN], at=AS_OF - age, conversation="old")
    assert only(count([young, old])["contact_kpis"], contact_email=BERT)["response_rate_by_us"] == 0.0


def test_n8_other_conversations_other_contacts_and_bulk_do_not_answer(count):
    tables = count(
        [
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(3), conversation="deal"),
            message(MEGAN, sender=MEGAN, to=[ANA], at=day(4), conversation="other"),
            message(MEGAN, sender=MEGAN, to=[BERT], at=day(4, 10), conversation="deal"),
            message(MEGAN, sender=MEGAN, to=[ANA], at=day(4, 11), conversation="deal", headers={"List-Id": "x"}),
            message(MEGAN, sender="noreply-7@fabrikam.com", to=[MEGAN], at=day(5), conversation="bulk"),
        ]
    )
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["emails_sent"], row["replies_by_us"], row["response_rate_by_us"]) == (2, 0, 0.0)
    bulk = only(tables["contact_kpis"], contact_email="noreply-7@fabrikam.com")
    assert (bulk["emails_received"], bulk["response_rate_by_us"], bulk["conversations_started_by_them"]) == (1, None, 0)
    # For the account, Bert's colleague Ana was answered by the mail that names Bert.
    account = only(tables["account_kpis"], account_id="fabrikam.com")
    assert (account["replies_by_us"], account["response_rate_by_us"]) == (1, 1.0)


def test_n8_a_reply_pairs_across_mailboxes_and_a_months_end(count):
    tables = count(
        [
            message(MEGAN, sender=ANA, to=[MEGAN], at=datetime(2025, 2, 28, 22, tzinfo=UTC), conversation="deal"),
            message(ALEX, sender=ALEX, to=[ANA], at=datetime(2025, 3, 1, 4, tzinfo=UTC), conversation="deal"),
        ]
    )
    assert only(tables["contact_kpis"], contact_email=ANA)["median_response_hours_by_us"] == 6.0


@pytest.mark.parametrize(("recipients", "bulk"), [(50, False), (51, True)])
def test_b7_more_than_fifty_recipients_are_bulk(count, recipients, bulk):
    to = [ANA, *(f"list{number}@fabrikam.com" for number in range(recipients - 1))]
    row = only(
        count([message(MEGAN, sender=MEGAN, to=to, at=day(3), conversation="x")])["contact_kpis"], contact_email=ANA
    )
    assert (row["emails_sent"], row["conversations_started_by_us"]) == (1, 0 if bulk else 1)


def test_n11_an_email_to_three_contacts_of_an_account_is_one_email_for_it(count):
    third = "cleo@eu.fabrikam.com"
    tables = count([message(MEGAN, sender=MEGAN, to=[ANA, BERT], cc=[third], at=day(3))])
    account = only(tables["account_kpis"], account_id="fabrikam.com")
    assert (account["contacts"], account["emails_sent"], account["domain"]) == (3, 1, "fabrikam.com")
    # Ours: 5 minutes once; theirs: 2.5 for each of the three named (N9).
    assert (account["team_minutes"], account["customer_minutes"]) == (5.0, 7.5)
    assert [row["emails_sent"] for row in tables["contact_kpis"]] == [1, 1, 1]


def test_n11_free_mail_forms_no_account(count):
    tables = count([message(MEGAN, sender=CARLA, to=[MEGAN], at=day(3))])
    assert only(tables["contact_kpis"], contact_email=CARLA)["account_id"] is None
    assert tables["account_kpis"] == []


def test_n6_a_mail_to_one_of_us_that_names_another_contact_is_nothing_for_him(count):
    tables = count([message(MEGAN, sender=ANA, to=[MEGAN, BERT], at=day(3))])
    assert [row["contact_email"] for row in tables["contact_kpis"]] == [ANA]


def test_daily_activity_goes_by_sent_time(count):
    tables = count([message(MEGAN, sender=ANA, to=[MEGAN], at=day(4, 0, 5), sent=day(3, 23, 59))])
    assert only(tables["daily_activity"], record_type="contact") == {
        "record_type": "contact",
        "record_id": ANA,
        "day": date(2025, 3, 3),
        "emails_sent": 0,
        "emails_received": 1,
        "meetings_sent": 0,
        "meetings_received": 0,
        "phone_calls_made": 0,
        "phone_calls_received": 0,
    }


def test_most_contacted_ranks_both_sides(count):
    tables = count(
        [
            message(MEGAN, sender=MEGAN, to=[ANA], at=day(3)),
            message(MEGAN, sender=ANA, to=[MEGAN], at=day(4)),
            message(ALEX, sender=ALEX, to=[BERT], at=day(5)),
        ]
    )
    rows = [row for row in tables["most_contacted"] if row["record_type"] == "account"]
    ranked = [(row["side"], row["rank"], row["person_email"], row["emails"]) for row in rows]
    assert ranked == [("us", 1, MEGAN, 2), ("us", 2, ALEX, 1), ("them", 1, ANA, 2), ("them", 2, BERT, 1)]


# --- meetings (N10, B4) -----------------------------------------------------------------------------------------------


def test_n10_half_an_hour_with_three_of_ours_and_two_of_theirs(count):
    attendees = [ALEX, LIDIA, ANA, BERT]
    tables = count((), meeting([MEGAN, ALEX], organizer=MEGAN, attendees=attendees, start=day(3), minutes=30))
    account = only(tables["account_kpis"], account_id="fabrikam.com")
    assert (account["team_minutes"], account["customer_minutes"]) == (90.0, 30.0)
    assert (account["meetings_sent"], account["meetings_received"]) == (1, 0)


@pytest.mark.parametrize(
    ("options", "meetings", "team", "customer"),
    [
        ({}, 1, 60.0, 30.0),
        ({"isAllDay": True, "minutes": 1440}, 1, 0.0, 0.0),
        ({"minutes": 1500}, 1, 2880.0, 1440.0),
        ({"isCancelled": True}, 0, 0.0, 0.0),
        ({"sensitivity": "private"}, 0, 0.0, 0.0),
        ({"sensitivity": "microsoft.graph.sensitivity'confidential'"}, 0, 0.0, 0.0),
    ],
)
def test_n10_what_counts_and_how_long(count, options, meetings, team, customer):
    copies = meeting([MEGAN], organizer=MEGAN, attendees=[ALEX, ANA], start=day(3), **options)
    rows = count([message(MEGAN, sender=ANA, to=["temp@contoso.com"], at=day(2))], copies)["contact_kpis"]
    row = only(rows, contact_email=ANA)
    assert row["meetings_sent"] == meetings
    # The mail of the day before is 2.5 minutes for the mailbox it lay in, 5 for its sender.
    assert (row["team_minutes"] - 2.5, row["customer_minutes"] - 5.0) == (team, customer)


def test_n10_declined_by_own_copy_or_else_the_organizers(count):
    attendees = [(ALEX, "accepted"), (LIDIA, "declined"), (ANA, "declined")]
    copies = [
        event(MEGAN, organizer=MEGAN, attendees=attendees, start=day(3)),
        event(ALEX, organizer=MEGAN, attendees=attendees, start=day(3), response="declined"),
    ]
    row = only(count((), copies)["contact_kpis"], contact_email=ANA)
    assert (row["meetings_sent"], row["team_minutes"], row["customer_minutes"]) == (1, 30.0, 30.0)


def test_n10_a_meeting_all_of_ours_declined_does_not_count(count):
    assert count((), meeting([ALEX], organizer=ANA, attendees=[(ALEX, "declined")], start=day(3)))["contact_kpis"] == []


@pytest.mark.parametrize(("organizer", "sent"), [(MEGAN, 1), ("temp@contoso.com", 1), (ANA, 0), (BERT, 0)])
def test_n10_sent_if_somebody_inside_invites(count, organizer, sent):
    tables = count((), meeting([MEGAN], organizer=organizer, attendees=[MEGAN, ANA], start=day(3)))
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["meetings_sent"], row["meetings_received"]) == (sent, 1 - sent)


def test_n10_a_series_counts_by_its_occurrences(count):
    weekly = [
        event(MEGAN, organizer=MEGAN, attendees=[ANA], start=day(number), type="occurrence", uid=f"series {number}")
        for number in (3, 10, 17)
    ]
    assert only(count((), weekly)["contact_kpis"], contact_email=ANA)["meetings_sent"] == 3


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (AS_OF, AS_OF),
        (datetime(2025, 7, 31, 23, 30, tzinfo=UTC), datetime(2025, 7, 31, 23, 30, tzinfo=UTC)),
        (datetime(2025, 8, 1, tzinfo=UTC), None),
    ],
)
def test_b4_next_meeting_within_92_days_after_the_running_month(count, start, expected):
    mail = message(MEGAN, sender=ANA, to=[MEGAN], at=day(3))
    tables = count([mail], meeting([MEGAN], organizer=MEGAN, attendees=[ANA], start=start))
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["next_meeting_at"], row["meetings_sent"]) == (expected, 0)
    assert [row["start_at"] for row in tables["planned_meetings"]] == ([expected] if expected else [])


# --- who knows whom (K2, K5) ------------------------------------------------------------------------------------------


def test_k2_the_gate_is_a_mail_of_ours_or_a_meeting_both_accepted(count):
    crowd = [f"list{number}@fabrikam.com" for number in range(50)]
    tables = count(
        [
            message(MEGAN, sender=MEGAN, to=[ANA], at=day(3)),
            message(MEGAN, sender=ANA, to=[MEGAN, ALEX], at=day(4)),
            message(LIDIA, sender=ANA, to=[MEGAN], at=day(5)),
            message(LIDIA, sender=LIDIA, to=[BERT, *crowd], at=day(6)),
        ],
        [
            *meeting(
                [MEGAN, ALEX],
                organizer=MEGAN,
                attendees=[(ALEX, "tentativelyAccepted"), (BERT, "accepted")],
                start=day(7),
            ),
            *meeting([MEGAN], organizer=MEGAN, attendees=[(CARLA, "none")], start=day(8)),
        ],
    )
    pairs = {(row["contact_email"], row["colleague_email"]): row for row in tables["who_knows_whom"]}
    assert set(pairs) == {(ANA, MEGAN), (BERT, MEGAN), (BERT, ALEX)}
    tie = pairs[ANA, MEGAN]
    assert (tie["emails_sent"], tie["emails_received"], tie["meetings"]) == (1, 2, 0)
    assert tie["last_interaction_at"] == day(5)
    companies = {row["colleague_email"]: row for row in tables["who_knows_company"]}
    assert set(companies) == {MEGAN, ALEX}
    # Alex never wrote, but met Bert; the mail of Ana to both of them is a tie of his with the company too.
    assert (companies[ALEX]["emails_received"], companies[ALEX]["meetings"]) == (1, 1)


def test_k5_a_disabled_account_is_no_introducer(count):
    tables = count([message(MEGAN, sender=MEGAN, to=[ANA], at=day(3))], users=[user(MEGAN, enabled=False)])
    assert tables["who_knows_whom"] == []
    assert only(tables["contact_kpis"], contact_email=ANA)["emails_sent"] == 1


# --- CRM records (head of section 6) ----------------------------------------------------------------------------------

CRM = {
    "accounts": [
        {"accountid": "ac1", "name": "Fabrikam", "websiteurl": "www.fabrikam.com", "_primarycontactid_value": "co1"}
    ],
    "contacts": [
        {"contactid": "co1", "fullname": "Ana Anaya", "emailaddress1": ANA, "_parentcustomerid_value": "ac1"},
        {"contactid": "co2", "fullname": "Carla Costa", "emailaddress1": "carla@costa.example", "emailaddress2": CARLA},
    ],
    "opportunities": [
        {"opportunityid": "op1", "name": "Shelves", "_parentaccountid_value": "ac1", "_ownerid_value": oid(MEGAN)}
    ],
    "opportunity_team": [{"opportunityid": "op1", "systemuserid": ALEX}],
    "leads": [
        {"leadid": "le1", "fullname": "Dora Dahl", "emailaddress1": "dora@dahl.example", "_ownerid_value": MEGAN}
    ],
    "stakeholders": [
        {"record_type": "opportunity", "record_id": "op1", "contactid": "co2"},
        {"record_type": "lead", "record_id": "le1", "contactid": "co2"},
    ],
}


def call(activity, colleague, contact, *, outgoing=True, at=None, regarding=None, regarding_type=None):
    return {
        "activityid": activity,
        "from_address": colleague if outgoing else contact,
        "to_addresses": contact if outgoing else colleague,
        "directioncode": "true" if outgoing else "false",
        "actualstart": (at or day(3)).isoformat(),
        "actualdurationminutes": 12,
        "_regardingobjectid_value": regarding,
        "regarding_type": regarding_type,
    }


def test_n7_a_crm_contact_has_a_row_of_zeros(count):
    tables = count(crm=CRM)
    row = only(tables["contact_kpis"], contact_email=ANA)
    assert (row["contact_name"], row["account_id"], row["emails_sent"]) == ("Ana Anaya", "ac1", 0)
    assert row["first_interaction_at"] is None and row["days_since_last_interaction"] is None
    account = only(tables["account_kpis"], account_id="ac1")
    assert (account["account_name"], account["domain"], account["contacts"]) == ("Fabrikam", "fabrikam.com", 1)


def test_one_person_with_two_outside_addresses_when_the_crm_says_so(count):
    rows = [
        message(MEGAN, sender=CARLA, to=[MEGAN], at=day(3), conversation="deal"),
        message(MEGAN, sender=MEGAN, to=["carla@costa.example", CARLA], at=day(4), conversation="deal"),
    ]
    row = only(count(rows, crm=CRM)["contact_kpis"], contact_email="carla@costa.example")
    assert (row["emails_sent"], row["emails_received"], row["replies_by_us"], row["customer_minutes"]) == (1, 1, 1, 7.5)
    assert row["opportunities"] == 1


def test_addresses_of_a_crm_account_without_contact_go_to_it_by_domain(count):
    tables = count([message(MEGAN, sender=BERT, to=[MEGAN], at=day(3))], crm=CRM)
    assert only(tables["contact_kpis"], contact_email=BERT)["account_id"] == "ac1"
    assert only(tables["account_kpis"], account_id="ac1")["emails_received"] == 1


@pytest.mark.parametrize(("colleague", "calls"), [(MEGAN, 1), (ALEX, 0)])
def test_a_call_to_a_leads_stakeholder_counts_for_the_lead_only_by_its_owner(count, colleague, calls):
    tables = count(crm=CRM | {"phonecalls": [call("ca1", colleague, CARLA)]})
    lead = only(tables["lead_kpis"], lead_id="le1")
    assert (lead["phone_calls_made"], lead["team_minutes"], lead["customer_minutes"]) == (
        calls,
        12.0 * calls,
        12.0 * calls,
    )
    # For the contact and the opportunity, whose team Alex is in, it counts either way.
    assert only(tables["contact_kpis"], contact_email="carla@costa.example")["phone_calls_made"] == 1
    assert only(tables["opportunity_kpis"], opportunity_id="op1")["phone_calls_made"] == 1


def test_a_call_regarding_a_lead_counts_whoever_calls(count):
    calls = [call("ca1", ALEX, "x@y.example", outgoing=False, regarding="le1", regarding_type="lead")]
    lead = only(count(crm=CRM | {"phonecalls": calls})["lead_kpis"], lead_id="le1")
    assert (lead["phone_calls_received"], lead["last_interaction_type"]) == (1, "phone_call")
    assert lead["last_interaction_direction"] == "received"


def test_calls_do_not_count_for_who_knows_whom(count):
    assert count(crm=CRM | {"phonecalls": [call("ca1", MEGAN, ANA)]})["who_knows_whom"] == []


@pytest.mark.parametrize(
    ("attendee", "regarding", "meetings"),
    [(MEGAN, True, 1), (ALEX, True, 1), (LIDIA, True, 0), (MEGAN, False, 0)],
)
def test_a_meeting_with_the_primary_contact_counts_for_an_opportunity(count, attendee, regarding, meetings):
    held = meeting([attendee], organizer=ANA, attendees=[(attendee, "accepted")], start=day(3), uid="040000008200E0")
    links = {"globalobjectid": "040000008200E0", "_regardingobjectid_value": "op1", "regarding_type": "opportunity"}
    tables = count((), held, crm=CRM | ({"appointments": [links]} if regarding else {}))
    assert only(tables["opportunity_kpis"], opportunity_id="op1")["meetings_received"] == meetings
    assert only(tables["account_kpis"], account_id="ac1")["meetings_received"] == 1


def test_an_opportunity_counts_its_team_with_its_stakeholders(count):
    rows = [
        message(ALEX, sender=ALEX, to=[CARLA], at=day(3)),
        message(LIDIA, sender=LIDIA, to=[CARLA], at=day(4)),
        message(MEGAN, sender=MEGAN, to=[ANA], at=day(5)),
    ]
    tables = count(rows, crm=CRM)
    assert only(tables["opportunity_kpis"], opportunity_id="op1")["emails_sent"] == 1
    assert only(tables["account_kpis"], account_id="ac1")["opportunities"] == 1


# --- export folders (graph.md 5) --------------------------------------------------------------------------------------


def test_every_way_of_writing_an_export_gives_the_same_tables(tmp_path):
    rows = {
        "Message_v1": email([MEGAN, ALEX], sender=MEGAN, to=[ANA], at=day(3)),
        "User_v1": USERS,
        "CalendarView_v0": meeting([MEGAN], organizer=MEGAN, attendees=[ANA], start=day(4)),
    }
    prefixed = {f"BasicDataSet_v0.{name}": rows for name, rows in rows.items()}
    folders = [
        write_export(tmp_path / "plain", **rows),
        write_export(tmp_path / "pascal", pascal=set(rows), **rows),
        write_export(tmp_path / "gzip", compress=True, files=3, **rows),
        write_export(tmp_path / "prefixed", **prefixed),
    ]
    tables = [recount(read_export(folder), as_of=AS_OF, internal_domains=["contoso.com"]) for folder in folders]
    assert all(other == tables[0] for other in tables)
    assert tables[0]["contact_kpis"][0]["meetings_sent"] == 1


def test_events_are_the_meetings_where_there_is_no_calendar_view(tmp_path):
    events = meeting([MEGAN], organizer=MEGAN, attendees=[ANA], start=day(4))
    for folder, views in (("events", ()), ("both", meeting([MEGAN], organizer=MEGAN, attendees=[BERT], start=day(5)))):
        write_export(tmp_path / folder, Message_v1=[], User_v1=USERS, Event_v1=events, CalendarView_v0=views)
        tables = recount(read_export(tmp_path / folder), as_of=AS_OF, internal_domains=["contoso.com"])
        assert [row["contact_email"] for row in tables["contact_kpis"]] == [BERT if views else ANA]


def test_bad_rows_are_counted_by_reason(tmp_path):
    no_id, no_time = message(MEGAN, sender=ANA, at=day(3), id=None), message(MEGAN, sender=ANA, at=day(4))
    no_time["receivedDateTime"] = "yesterday"
    write_export(tmp_path, Message_v1=[no_id, no_time, summary_row(MEGAN)], User_v1=USERS)
    (tmp_path / "Message_v1" / "broken.json").write_text('{"id": \n[1]\n\n')
    export = read_export(tmp_path)
    assert dict(export.rejected) == {("message", "not_json"): 1, ("message", "not_an_object"): 1}
    tables = recount(export, as_of=AS_OF, internal_domains=["contoso.com"])
    assert tables["rejected"] == [{"reason": "no_time", "rows": 1}]
    assert only(tables["batch_details"], month="2025-03")["dropped_by_reason"] == {"no_id": 1}


def test_a_half_copied_gzip_file_is_no_evidence(tmp_path):
    write_export(tmp_path, compress=True, Message_v1=email([MEGAN], sender=ANA, to=[MEGAN], at=day(3)), User_v1=USERS)
    file = next((tmp_path / "Message_v1").iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(EOFError):
        read_export(tmp_path)


# --- properties -------------------------------------------------------------------------------------------------------


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(tenant=tenants(with_crm=True))
def test_random_tenants_add_up(tenant: Tenant, tmp_path_factory):
    export, crm = tenant.write(tmp_path_factory.mktemp("tenant"))
    tables = recount(
        read_export(export),
        as_of=tenant.as_of,
        internal_domains=tenant.internal_domains,
        months=tenant.months,
        crm=read_crm(crm),
    )
    assert_batches_add_up(tables)
    for row in tables["contact_kpis"]:
        assert not row["contact_email"].endswith("contoso.com")
        own = {"record_type": "contact", "record_id": row["contact_email"]}
        days = [day for day in tables["daily_activity"] if own.items() <= day.items()]
        for column in ("emails_sent", "emails_received", "meetings_sent", "phone_calls_made"):
            assert sum(day[column] for day in days) == row[column]
        assert row["replies_by_us"] <= row["emails_sent"]
        for column in ("response_rate_by_us", "response_rate_by_them"):
            assert row[column] is None or 0 <= row[column] <= 1


def test_differences_name_row_and_column():
    recounted = [{"contact_email": ANA, "team_minutes": 0.1 + 0.2, "emails_sent": 1, "contact_name": None}]
    same = {"contact_email": ANA, "team_minutes": 0.3, "emails_sent": 1, "contact_name": "Ana", "health_score": 7}
    other = {"contact_email": BERT}
    assert differences("contact_kpis", recounted, [same], ignore={"contact_name"}) == []
    assert differences("contact_kpis", recounted, [same | {"emails_sent": 2}, other], ignore={"contact_name"}) == [
        f"('{BERT}',): not in the recount",
        f"('{ANA}',) emails_sent: recount 1 published 2",
    ]


def test_the_oracle_shares_no_code_with_the_package():
    code = (
        "import sys; import relationship_pipeline_tests.oracle as o; "
        "print([m for m in sys.modules if m.split('.')[0] in ('relationship_pipeline', 'duckdb', 'pyarrow', 'pandas')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


@pytest.mark.skipif(not REAL_EXPORT.is_dir(), reason="the real export is not at hand")
def test_the_real_export():
    tables = recount(read_export(REAL_EXPORT), as_of=datetime(2002, 2, 1, tzinfo=UTC), internal_domains=["enron.com"])
    assert_batches_add_up(tables)
    # 14,769 rows, one a copy, 13,148 distinct message ids, every copy of one received at the same second.
    assert sum(row["copies_read"] for row in tables["batches"]) == 14_769
    assert sum(row["distinct_emails"] for row in tables["batches"]) == 13_148
    assert batch(tables, "2001-10")["distinct_emails"] == 3_623
