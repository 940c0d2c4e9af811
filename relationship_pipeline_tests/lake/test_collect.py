"""A month of the lake from what was staged: B2, B5 to B9, N1, N3, N4, O1, O4 to O6."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relationship_pipeline.consent.fence import locked
from relationship_pipeline.domain.addresses import is_bulk_sender, normalize_address
from relationship_pipeline.errors import BadLake, ConsentRefused
from relationship_pipeline.lake import collect
from relationship_pipeline.lake.manifest import read_manifest
from relationship_pipeline.schemas import EMAIL, MEETINGS
from relationship_pipeline_tests import factories as make
from relationship_pipeline_tests.collecting import SmallLake, balances
from relationship_pipeline_tests.locks import until_it_waits

ANA, BEN, CAY = "ana@contoso.com", "ben@contoso.com", "cay@contoso.com"
OUT = "zoe@fabrikam.com"
USERS = [make.user(address) for address in (ANA, BEN, CAY)]
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(tmp_path):
    def with_rows(*, users=USERS, files=1, **datasets):
        make.write_export(tmp_path / "export", files=files, User_v1=users, **datasets)
        return SmallLake(tmp_path / "export", tmp_path / "data")

    return with_rows


def mail(lake, *rows, **options):
    return lake(Message_v1=[copy for row in rows for copy in (row if isinstance(row, list) else [row])], **options)


# --- B5: copies, keys, repetitions


def test_b5_one_email_in_three_mailboxes_counts_once(lake):
    manifest, rows = mail(lake, make.email([ANA, BEN, CAY], sender=OUT, to=[ANA, BEN], cc=[CAY], at=MARCH)).emails()
    assert {row["message_key"] for row in rows} == {rows[0]["message_key"]}
    assert [row["copy_rank"] for row in rows] == [1, 2, 3]
    assert manifest.quality["distinct_emails"] == 1
    assert manifest.quality["duplicates"] == 2
    assert balances(manifest.quality)


def test_b5_the_same_item_in_message_and_sent_item_is_one_copy_and_sent(lake):
    row = make.message(ANA, sender=ANA, to=[OUT], at=MARCH)
    manifest, rows = lake(Message_v1=[row], SentItem_v1=[row]).emails()
    assert [row["folder_class"] for row in rows] == ["sent"]
    assert (manifest.quality["copies_read"], manifest.quality["duplicates"]) == (1, 0)


def test_b5_message_ids_compare_exactly_but_for_white_space_and_the_case_of_the_domain(lake):
    ids = ["<Ab.c@Mail.Example>", " <Ab.c@mail.example>\r\n", "<ab.c@mail.example>", "<Ab.c@MAIL.EXAMPLE>"]
    rows = [make.message(ANA, sender=OUT, to=[ANA], at=MARCH, message_id=text, item=text) for text in ids]
    manifest, _ = mail(lake, *rows).emails()
    assert manifest.quality["distinct_emails"] == 2


def test_b5_without_message_id_the_same_sender_time_and_recipients_are_one_email(lake):
    common = {"sender": OUT, "at": MARCH, "message_id": None}
    rows = [
        make.message(ANA, to=[ANA, BEN], item="1", **common),
        make.message(BEN, to=[BEN], cc=["Ana <ANA@contoso.com>"], item="2", **common),
        make.message(CAY, to=[CAY], item="3", **common),
        make.message(CAY, to=[ANA, BEN], item="4", **(common | {"message_id": "  "})),
        make.message(CAY, to=[ANA, BEN], item="5", **(common | {"sent": MARCH - HOUR})),
    ]
    manifest, rows = mail(lake, *rows).emails()
    assert manifest.quality["distinct_emails"] == 3


def test_b5_items_of_two_mailboxes_with_one_id_are_two_copies(lake):
    _, rows = mail(lake, make.email([ANA, BEN], sender=OUT, to=[ANA], at=MARCH, item="shared")).emails()
    assert len(rows) == 2


def test_b5_rows_are_sorted_by_the_emails_first_copy(lake):
    early, late = {"sender": OUT, "to": [ANA], "message_id": "<e@x.y>"}, {"sender": OUT, "to": [ANA], "at": MARCH}
    copies = [
        make.message(BEN, at=MARCH + HOUR, **early),
        make.message(ANA, at=MARCH - HOUR, **early),
        make.message(CAY, **late),
    ]
    _, rows = mail(lake, *copies).emails()
    assert [row["mailbox"] for row in rows] == [make.oid(ANA), make.oid(BEN), make.oid(CAY)]


# --- B6: what is left out


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("Drafts", "drafts"),
        ("Outbox", "drafts"),
        ("Junk Email", "junk"),
        ("Deleted Items", "deleted"),
        ("Sync Issues", "sync_issues"),
        ("Conversation History", "conversation_history"),
        ("Gelöschte  Elemente", "deleted"),
        ("Boîte d’envoi", "drafts"),
    ],
)
def test_b6_folders_that_are_left_out_are_counted_by_reason(lake, folder, reason):
    manifest, rows = mail(
        lake,
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, folder=folder),
        make.message(BEN, sender=OUT, to=[BEN], at=MARCH, folder="Inbox"),
        MailFolder_v0=[make.mail_folder(ANA, folder), make.mail_folder(BEN, "Inbox")],
    ).emails()
    assert manifest.quality["dropped"] == {reason: 1}
    assert [row["folder_class"] for row in rows] == ["inbox"]
    assert balances(manifest.quality)


def test_b6_what_lies_below_a_folder_that_is_left_out_is_left_out_too(lake):
    folders = [
        make.mail_folder(ANA, "Deleted Items"),
        make.mail_folder(ANA, "Old", parent="Deleted Items"),
        make.mail_folder(ANA, "Projects"),
        make.mail_folder(ANA, "Drafts", parent="Projects"),
    ]
    manifest, rows = mail(
        lake,
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, folder="Old"),
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, folder="Drafts"),
        MailFolder_v0=folders,
    ).emails()
    assert manifest.quality["dropped"] == {"deleted": 1}
    assert [row["folder_class"] for row in rows] == ["other"]


@pytest.mark.parametrize("root", [[], [make.mail_folder(ANA, "Top of Information Store", parent="Root")]])
def test_b6_folders_are_told_with_or_without_their_root(lake, root):
    folders = [make.mail_folder(ANA, "Inbox"), make.mail_folder(ANA, "Junk Email"), *root]
    manifest, rows = mail(
        lake,
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, folder="Junk Email"),
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, folder="Inbox"),
        MailFolder_v0=folders,
    ).emails()
    assert manifest.quality["dropped"] == {"junk": 1}
    assert [row["folder_class"] for row in rows] == ["inbox"]


def test_b6_a_sent_item_is_sent_whatever_its_folder_is_called(lake):
    row = make.message(ANA, sender=ANA, to=[OUT], at=MARCH, folder="送信済みアイテム")
    folders = [make.mail_folder(ANA, "送信済みアイテム")]
    _, rows = lake(Message_v1=[row], SentItem_v1=[row], MailFolder_v0=folders).emails()
    assert [row["folder_class"] for row in rows] == ["sent"]


def test_b6_drafts_without_a_sender_are_left_out(lake):
    manifest, rows = mail(lake, make.message(ANA, sender=None, to=[OUT], at=MARCH, isDraft=True)).emails()
    assert rows == []
    assert manifest.quality["dropped"] == {"draft": 1}
    assert manifest.quality["copies_read"] == 1


def test_b6_an_email_without_a_sender_is_no_error(lake):
    _, rows = mail(lake, make.message(ANA, sender=None, to=[OUT], at=MARCH)).emails()
    assert (rows[0]["from_address"], rows[0]["sender_address"]) == (None, None)


# --- B7: fields


def test_b7_the_files_columns_are_the_schemas(lake):
    a_lake = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH))
    manifest, _ = a_lake.emails()
    described = duckdb.execute(
        "select name from (describe select * from read_parquet($f, hive_partitioning = false)) t(name)",
        {"f": str(manifest.paths(a_lake.epoch.month("email", "2026-03"))[0])},
    ).fetchall()
    assert [name for (name,) in described] == EMAIL.names


def test_b7_one_conversation_has_one_key_in_all_mailboxes(lake):
    _, rows = mail(lake, make.email([ANA, BEN], sender=OUT, to=[ANA], at=MARCH, conversation="deal")).emails()
    assert {row["conversation_key"] for row in rows} == {make.guid("conversation deal")}


def _base64(data: bytes) -> list[str]:
    """In the standard alphabet and in Exchange's own, which has `-` for `/` and `_` for `+`; padded and not."""
    standard = base64.b64encode(data).decode()
    exchange = base64.b64encode(data, altchars=b"_-").decode()
    return [standard, exchange, standard.rstrip("="), exchange.rstrip("=")]


@given(middle=st.binary(min_size=39, max_size=39), guid=st.uuids(), form=st.integers(0, 3))
def test_b7_conversation_ids_of_59_bytes_in_either_alphabet(sql_functions, middle, guid, form):
    text = _base64(b"\x00\x04\x24\x00" + middle + guid.bytes)[form]
    assert _conversation_key(sql_functions, text, None) == guid


@given(head=st.binary(min_size=6, max_size=6), guid=st.uuids(), tail=st.binary(max_size=20), form=st.integers(0, 3))
def test_b7_else_the_conversation_index_bytes_6_to_21(sql_functions, head, guid, tail, form):
    text = _base64(head + guid.bytes + tail)[form]
    assert _conversation_key(sql_functions, "something else", text) == guid


@pytest.mark.parametrize(
    "conversation_id",
    [
        "short",
        base64.b64encode(b"\x00\x04\x24\x01" + bytes(55)).decode(),
        base64.b64encode(b"\x00\x04\x24\x00" + bytes(56)).decode(),
        base64.b64encode(b"\x00\x04\x24\x00" + bytes(54)).decode(),
    ],
)
@pytest.mark.parametrize("index", [None, "", "not base64!", "QUJD", base64.b64encode(bytes(21)).decode()])
def test_b7_else_the_conversation_id_as_it_stands(sql_functions, conversation_id, index):
    key = _conversation_key(sql_functions, conversation_id, index)
    other = _conversation_key(sql_functions, conversation_id + "x", index)
    assert key is not None
    assert key != other


def test_b7_without_any_conversation_there_is_no_key(sql_functions):
    assert _conversation_key(sql_functions, None, None) is None
    assert _conversation_key(sql_functions, "", "") is None


@pytest.mark.parametrize(
    ("headers", "bulk"),
    [
        ({}, False),
        ({"List-Id": "<news.fabrikam.com>"}, True),
        ({"list-unsubscribe": "<mailto:x@y.z>"}, True),
        ({"Precedence": "Bulk"}, True),
        ({"Precedence": "first-class"}, False),
        ({"Auto-Submitted": "auto-generated"}, True),
        ({"Auto-Submitted": "no"}, False),
    ],
)
def test_b7_bulk_by_headers(lake, headers, bulk):
    _, rows = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH, headers=headers)).emails()
    assert rows[0]["is_bulk"] is bulk


@pytest.mark.parametrize(("count", "bulk"), [(50, False), (51, True)])
def test_b7_bulk_by_more_than_50_distinct_recipients(lake, count, bulk):
    to = [f"p{number}@fabrikam.com" for number in range(count - 1)]
    _, rows = mail(lake, make.message(ANA, sender=ANA, to=[*to, to[0].upper()], cc=[OUT, to[1]], at=MARCH)).emails()
    assert rows[0]["is_bulk"] is bulk


def test_b7_unresolved_recipients_make_bulk_too(lake):
    to = [*(f"p{number}@fabrikam.com" for number in range(50)), "somebody without an address"]
    _, rows = mail(lake, make.message(ANA, sender=ANA, to=to, at=MARCH)).emails()
    assert rows[0]["is_bulk"]


def test_b7_bulk_by_the_sender_and_n3_sender_where_from_is_missing(lake):
    row = make.message(ANA, sender="noreply@fabrikam.com", to=[ANA], at=MARCH)
    row["from"] = None
    _, rows = mail(lake, row).emails()
    assert rows[0]["is_bulk"]
    assert (rows[0]["from_address"], rows[0]["sender_address"]) == (None, "noreply@fabrikam.com")


def test_b4_meeting_messages_stay_flagged_and_are_not_counted(lake):
    copies = make.email([ANA, BEN], sender=OUT, to=[ANA], at=MARCH, ODataType="#microsoft.graph.eventMessageRequest")
    manifest, rows = mail(lake, copies).emails()
    assert [row["is_meeting_message"] for row in rows] == [True, True]
    assert manifest.quality["distinct_emails"] == 0
    assert manifest.quality["dropped"] == {"meeting_message": 2}
    assert balances(manifest.quality)


# --- N1: addresses


def test_n1_every_address_field_is_normalised_sorted_and_distinct(lake):
    row = make.message(
        ANA,
        sender="'Zoe' <ZOE@Fabrikam.com>",
        to=["SMTP:Ben@contoso.com", "ben@contoso.com", "Cay@bücher.example", "nobody", ""],
        cc=["mailto:ana@contoso.com"],
        at=MARCH,
    )
    manifest, rows = mail(lake, row).emails()
    assert rows[0]["from_address"] == OUT
    assert rows[0]["to_addresses"] == ["ben@contoso.com", "cay@xn--bcher-kva.example"]
    assert rows[0]["cc_addresses"] == [ANA]
    assert manifest.quality["unresolved_addresses"] == 2


def test_n1_legacy_names_are_mapped_by_the_directory_or_unresolved(lake):
    row = make.message(ANA, sender=make.x500(BEN).upper(), to=[make.x500(ANA), make.X500 + "stranger"], at=MARCH)
    manifest, rows = mail(lake, row).emails()
    assert rows[0]["from_address"] == BEN
    assert rows[0]["to_addresses"] == [ANA]
    assert manifest.quality["unresolved_addresses"] == 1


def test_n1_recipients_without_address_and_missing_lists(lake):
    row = make.message(ANA, sender=OUT, to=[ANA], at=MARCH)
    row["toRecipients"].append({"emailAddress": {"name": "Only a name"}})
    row["toRecipients"].append({"emailAddress": None})
    del row["ccRecipients"]
    manifest, rows = mail(lake, row).emails()
    assert (rows[0]["to_addresses"], rows[0]["cc_addresses"]) == ([ANA], [])
    assert manifest.quality["unresolved_addresses"] == 2


@pytest.fixture(scope="module")
def sql_functions():
    with duckdb.connect() as connection:
        connection.execute(collect._model("functions"))
        yield connection


def _conversation_key(connection, conversation_id, index):
    return connection.execute("select conversation_key($1, $2)", [conversation_id, index]).fetchone()[0]


_ODDMENTS = st.text(alphabet="aAzZ09.@-_+'`\"<>:/ öİ\u212a\t", max_size=24)
_ADDRESSES = st.one_of(st.emails(), _ODDMENTS, st.builds("{}@{}".format, _ODDMENTS, _ODDMENTS))


@given(raw=_ADDRESSES)
@settings(max_examples=300, deadline=None)
def test_n1_what_sql_takes_as_plain_is_what_the_pure_function_gives(sql_functions, raw):
    plain, lower = sql_functions.execute("select is_plain($1), lower($1)", [raw]).fetchone()
    if plain:
        assert normalize_address(raw) == lower
    address = normalize_address(raw)
    if address is not None:
        assert sql_functions.execute("select is_bulk_sender($1)", [address]).fetchone()[0] is is_bulk_sender(address)


def test_n1_ordinary_addresses_take_the_fast_path(sql_functions):
    for raw in ("ana@contoso.com", "Ana.Lima+x@Mail.Contoso.co.uk", "o'neil@x-y.example"):
        assert sql_functions.execute("select is_plain($1)", [raw]).fetchone()[0]


# --- B2: the cap


def test_b2_the_newest_emails_stay_for_all_mailboxes_alike(lake):
    copies = [
        make.message(mailbox, sender=OUT, to=[ANA], at=MARCH + number * HOUR, message_id=f"<{number}@x.y>")
        for number in range(5)
        for mailbox in (ANA, BEN)
    ]
    meeting_mail = make.message(
        CAY, sender=OUT, to=[CAY], at=MARCH - HOUR, ODataType="#microsoft.graph.eventMessageResponse"
    )
    a_lake = mail(lake, *copies, meeting_mail)
    a_lake.options = {"batch_cap": 2}
    manifest, rows = a_lake.emails()
    kept = [row["received_at"] for row in rows if not row["is_meeting_message"]]
    assert kept == [MARCH + 3 * HOUR] * 2 + [MARCH + 4 * HOUR] * 2
    assert len(rows) == 5
    quality = manifest.quality
    assert (quality["distinct_emails"], quality["left_out_by_cap"], quality["left_out_copies"]) == (2, 3, 6)
    assert quality["status"] == "partial"
    assert balances(quality)


def test_b2_ties_go_by_message_key_and_the_cut_comes_after_deduplication(lake):
    copies = [make.email([ANA, BEN], sender=OUT, to=[ANA], at=MARCH, message_id=f"<{n}@x.y>") for n in range(6)]
    a_lake = mail(lake, *copies)
    _, everything = a_lake.emails()
    a_lake.options = {"batch_cap": 4}
    _, rows = a_lake.emails()
    by_key = sorted({row["message_key"] for row in everything}, key=lambda key: key.int)
    assert {row["message_key"] for row in rows} == set(by_key[:4])


def test_b2_a_cap_that_is_just_reached_leaves_nothing_out(lake):
    a_lake = mail(lake, *[make.message(ANA, sender=OUT, to=[ANA], at=MARCH + n * HOUR) for n in range(3)])
    a_lake.options = {"batch_cap": 3}
    manifest, _ = a_lake.emails()
    assert manifest.quality["status"] == "complete"


# --- N4


def test_n4_sent_times_that_cannot_be_are_counted_as_corrected(lake):
    day = timedelta(days=1)
    sent = [None, MARCH + day + HOUR, MARCH - 30 * day - HOUR, datetime(1601, 1, 1, tzinfo=UTC)]
    fine = [MARCH, MARCH + day, MARCH - 30 * day]
    rows = [
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH, sent=time, message_id=f"<{time}@x.y>") for time in sent + fine
    ]
    manifest, rows = mail(lake, *rows).emails()
    assert manifest.quality["clock_corrected"] == 4
    assert datetime(1601, 1, 1, tzinfo=UTC) in [row["sent_at"] for row in rows]


# --- O1 and the other opt-outs at collection


def test_o1_only_what_was_received_while_the_owner_could_be_read(lake):
    a_lake = mail(
        lake,
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH - HOUR),
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH),
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH + 2 * HOUR),
        make.message(BEN, sender=OUT, to=[BEN], at=MARCH),
    )
    a_lake.allowed = [(make.oid(ANA), None, MARCH), (make.oid(ANA), MARCH + HOUR, None)]
    manifest, rows = a_lake.emails()
    assert [row["received_at"] for row in rows] == [MARCH - HOUR, MARCH + 2 * HOUR]
    assert manifest.quality["dropped"] == {"not_in_scope": 2}
    assert balances(manifest.quality)


def test_o1_a_rerun_keeps_what_was_collected_from_a_mailbox_that_may_no_longer_be_read(lake):
    a_lake = mail(lake, make.email([ANA, BEN], sender=OUT, to=[ANA, BEN], at=MARCH))
    _, before = a_lake.emails()
    a_lake.allowed = [(make.oid(BEN), None, None)]
    manifest, after = a_lake.emails()
    assert after == before
    assert manifest.quality["kept_earlier"] == 1
    assert balances(manifest.quality)


def test_o1_a_mailbox_that_was_not_reached_keeps_its_rows_and_one_that_was_loses_what_is_gone(lake, tmp_path):
    first = make.message(BEN, sender=OUT, to=[BEN], at=MARCH - HOUR)
    gone = make.email([ANA, BEN], sender=OUT, to=[ANA, BEN], at=MARCH)
    stays = make.email([ANA, BEN], sender=OUT, to=[ANA, BEN], at=MARCH + HOUR)
    mail(lake, first, gone, stays).emails()
    make.write_export(tmp_path / "export", Message_v1=[first, *stays])
    _, rows = SmallLake(tmp_path / "export", tmp_path / "data").emails(
        read_mailboxes=frozenset({make.oid(BEN)}), read_since={}
    )
    held = [(row["mailbox"], row["received_at"]) for row in rows]
    assert (make.oid(ANA), MARCH) in held
    assert (make.oid(BEN), MARCH) not in held
    assert len(held) == 4


def test_a_month_that_the_export_no_longer_holds_stays_as_it_is_and_says_so(lake, tmp_path):
    march = make.message(ANA, sender=OUT, to=[ANA], at=MARCH)
    april = make.message(ANA, sender=OUT, to=[ANA], at=MARCH + timedelta(days=22))
    before, rows = mail(lake, march).emails()
    make.write_export(tmp_path / "export", Message_v1=[april])
    later = SmallLake(tmp_path / "export", tmp_path / "data")
    for _ in range(2):
        after, again = later.emails()
        assert again == rows and after.content_id == before.content_id
        assert after.quality == {**before.quality, "notes": [collect.NOT_HELD]}
    assert after.created_at > before.created_at, "it counts as read, so that a refresh settles it"
    assert later.emails("2026-02")[1] == [], "a month that never landed is empty"


def test_a_month_that_was_still_running_when_it_was_last_read_is_partial(lake):
    manifest, _ = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH)).emails()
    kept = collect.kept_quality(manifest.quality, read_whole=False)
    assert (kept["status"], kept["partial_reasons"]) == ("partial", [collect.CUT_SHORT])
    assert collect.kept_quality(kept, read_whole=True) == kept, "keeping it again does not make it whole"


def test_an_export_that_begins_within_a_month_takes_nothing_from_before_its_first_row(lake, tmp_path):
    early, late, new = (
        make.message(ANA, sender=OUT, to=[ANA], at=MARCH + n * HOUR, item=f"item {n}") for n in range(3)
    )
    mail(lake, early, late).emails()
    make.write_export(tmp_path / "export", Message_v1=[late, new])
    manifest, rows = SmallLake(tmp_path / "export", tmp_path / "data").emails()
    assert [row["received_at"] for row in rows] == [MARCH, MARCH + HOUR, MARCH + 2 * HOUR]
    assert manifest.quality["kept_earlier"] == 1 and balances(manifest.quality)


def test_b3_what_was_held_from_before_the_instant_of_reading_stays(lake, tmp_path):
    old = make.message(ANA, sender=OUT, to=[ANA], at=MARCH, item="old")
    moved = make.message(ANA, sender=OUT, to=[ANA], at=MARCH + HOUR, item="moved", folder="Junk Email")
    recent = make.message(ANA, sender=OUT, to=[ANA], at=MARCH + 5 * HOUR, item="deleted since")
    new = make.message(ANA, sender=OUT, to=[ANA], at=MARCH + 6 * HOUR, item="new")
    mail(lake, old, moved, recent).emails()
    make.write_export(tmp_path / "export", Message_v1=[moved, new], MailFolder_v0=[make.mail_folder(ANA, "Junk Email")])
    since = {make.oid(ANA): MARCH + 4 * HOUR}
    _, rows = SmallLake(tmp_path / "export", tmp_path / "data").emails(read_since=since)
    assert [row["received_at"] for row in rows] == [MARCH, MARCH + 6 * HOUR]


def test_o4_hidden_people_and_domains_are_no_sender_and_no_recipient(lake):
    a_lake = mail(
        lake,
        make.message(ANA, sender="lawyer@law.example", to=[ANA, OUT], cc=["x@mail.law.example", BEN], at=MARCH),
        make.message(ANA, sender=OUT, to=[ANA, BEN], at=MARCH + HOUR),
        make.message(ANA, sender=OUT, to=["a@outlaw.example"], at=MARCH + 2 * HOUR),
    )
    a_lake.hidden, a_lake.hidden_domains = (BEN,), ("law.example",)
    _, rows = a_lake.emails()
    assert [row["from_address"] for row in rows] == [None, OUT, OUT]
    assert rows[0]["from_name"] is None
    assert [row["to_addresses"] for row in rows] == [[ANA, OUT], [ANA], ["a@outlaw.example"]]
    assert rows[0]["cc_addresses"] == []


def test_o4_hiding_changes_no_key_so_that_erasing_later_gives_the_same_rows(lake):
    a_lake = mail(lake, make.message(ANA, sender=BEN, to=[OUT], at=MARCH, message_id=None))
    _, plain = a_lake.emails()
    a_lake.hidden = (BEN,)
    _, hidden = a_lake.emails()
    assert plain[0]["message_key"] == hidden[0]["message_key"]


# --- B8, commit, locks


def test_b8_a_rerun_gives_the_same_bytes(lake):
    a_lake = mail(
        lake, *[make.email([ANA, BEN], sender=OUT, to=[ANA], at=MARCH + n * HOUR) for n in range(40)], files=3
    )
    assert a_lake.emails()[0].content_id == a_lake.emails()[0].content_id


def test_c4_a_commit_that_consent_refuses_leaves_the_old_month(lake, tmp_path):
    a_lake = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH))
    before, _ = a_lake.emails()
    make.write_export(tmp_path / "export", Message_v1=[make.message(BEN, sender=OUT, to=[BEN], at=MARCH)])
    a_lake.refuse = ConsentRefused("consent withdrawn")
    with pytest.raises(ConsentRefused):
        a_lake.emails()
    assert read_manifest(a_lake.epoch.month("email", "2026-03")) == before


def test_a_month_that_an_eraser_holds_is_committed_when_it_is_done(lake):
    a_lake = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH))
    with ThreadPoolExecutor(1) as worker:
        with locked(a_lake.layout.table_lock("email", "2026-03")):
            collecting = worker.submit(a_lake.emails)
            until_it_waits(os.getpid(), lambda: not collecting.done())
            assert read_manifest(a_lake.epoch.month("email", "2026-03")) is None
        manifest, _ = collecting.result(timeout=60)
    assert manifest.rows == 1


@pytest.mark.parametrize("what", ["part", "manifest.json"])
def test_a_damaged_month_is_rebuilt_by_a_whole_reading_and_says_so(lake, what):
    a_lake = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH))
    manifest, rows = a_lake.emails()
    folder = a_lake.epoch.month("email", "2026-03")
    path = manifest.paths(folder)[0] if what == "part" else folder / what
    path.write_bytes(b"x" + path.read_bytes()[1:])
    rebuilt, again = a_lake.emails()
    assert again == rows
    assert "damaged" in rebuilt.quality["partial_reasons"][0]
    assert a_lake.emails()[0].quality["status"] == "complete"


def test_a_damaged_month_is_no_base_for_reading_only_what_is_new(lake):
    a_lake = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH))
    part = a_lake.emails()[0].paths(a_lake.epoch.month("email", "2026-03"))[0]
    part.write_bytes(b"x" + part.read_bytes()[1:])
    with pytest.raises(BadLake, match="2026-03"):
        a_lake.emails(read_since={make.oid(ANA): MARCH + HOUR})


def test_an_empty_month_is_a_month(lake):
    manifest, rows = mail(lake, make.message(ANA, sender=OUT, to=[ANA], at=MARCH)).emails("2025-12")
    assert rows == []
    assert manifest.quality["copies_read"] == 0
    assert manifest.quality["status"] == "complete"


# --- any order of rows and files


@st.composite
def _mailboxes_of_mail(draw):
    count = draw(st.integers(1, 12))
    rows = []
    for number in range(count):
        sender = draw(st.sampled_from([OUT, ANA, "Ben <BEN@contoso.com>", "nobody", make.x500(CAY)]))
        to = draw(st.lists(st.sampled_from([ANA, BEN, OUT, "Z@FABRIKAM.com", "x", "mailto:q@x.y"]), max_size=4))
        at = MARCH + draw(st.integers(0, 3)) * HOUR
        message_id = draw(st.sampled_from([None, "<same@x.y>", f"<{number}@x.y>"]))
        for mailbox in draw(st.lists(st.sampled_from([ANA, BEN, CAY]), min_size=1, max_size=3, unique=True)):
            row = make.message(mailbox, sender=sender, to=to, at=at, message_id=message_id, item=f"{number} {mailbox}")
            rows += [row] * draw(st.integers(1, 2))
    return rows, draw(st.permutations(rows))


@given(pair=_mailboxes_of_mail(), files=st.integers(1, 3), cap=st.sampled_from([2, 8_000_000]))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b8_rows_in_any_order_over_any_files_give_the_same_month(tmp_path_factory, pair, files, cap):
    rows, shuffled = pair
    made = []
    for copies, count in ((rows, 1), (shuffled, files)):
        home = tmp_path_factory.mktemp("lake")
        make.write_export(home / "export", User_v1=USERS)
        make.write_export(home / "export", files=count, Message_v1=copies)
        made.append(SmallLake(home / "export", home / "data", options={"batch_cap": cap}).emails())
    (first, first_rows), (second, second_rows) = made
    assert first_rows == second_rows
    assert first.quality == second.quality
    assert balances(first.quality)
    items = {(row["mailbox"], row["item_key"]) for row in first_rows}
    assert len(items) == len(first_rows)


# --- meetings


def calendar(lake, *rows):
    mailrow = make.message(ANA, sender=OUT, to=[ANA], at=MARCH)
    copies = [copy for row in rows for copy in (row if isinstance(row, list) else [row])]
    return lake(Message_v1=[mailrow], CalendarView_v0=copies)


def test_n10_one_meeting_in_two_calendars_has_one_key(lake):
    copies = make.meeting([ANA, BEN], organizer=ANA, attendees=[(BEN, "declined"), (OUT, "accepted")], start=MARCH)
    a_lake = calendar(lake, copies)
    manifest, rows = a_lake.meetings()
    assert list(rows[0]) == MEETINGS.names
    assert len({row["meeting_key"] for row in rows}) == 1
    mine = next(row for row in rows if row["mailbox"] == make.oid(ANA))
    assert (mine["organizer_address"], mine["is_organizer"], mine["own_response"]) == (ANA, True, "organizer")
    assert mine["attendees"] == [
        {"address": BEN, "type": "required", "response": "declined"},
        {"address": OUT, "type": "required", "response": "accepted"},
    ]
    assert (mine["start_at"], mine["end_at"]) == (MARCH, MARCH + timedelta(minutes=30))
    assert manifest.quality["distinct_meetings"] == 1
    assert manifest.quality["duplicates"] == 1


@pytest.mark.parametrize("sensitivity", ["private", "microsoft.graph.sensitivity'confidential'", "Private"])
def test_b6_private_meetings_are_left_out_unless_the_setting_says_so(lake, sensitivity):
    a_lake = calendar(lake, make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH, sensitivity=sensitivity))
    manifest, rows = a_lake.meetings()
    assert rows == []
    assert manifest.quality["dropped"] == {"private": 1}
    a_lake.options = {"meetings": {"include_private": True}}
    assert len(a_lake.meetings()[1]) == 1


def test_b6_draft_meetings_are_left_out_and_cancelled_ones_flagged(lake):
    manifest, rows = calendar(
        lake,
        make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH, isDraft=True),
        make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH + HOUR, isCancelled=True),
    ).meetings()
    assert [row["is_cancelled"] for row in rows] == [True]
    assert manifest.quality["dropped"] == {"draft": 1}


def test_n10_without_icaluid_each_calendar_item_is_a_meeting_of_its_own(lake):
    copies = [make.event(box, organizer=ANA, attendees=[BEN], start=MARCH, iCalUId=None, uid=box) for box in (ANA, BEN)]
    assert calendar(lake, copies).meetings()[0].quality["distinct_meetings"] == 2


def test_b4_planned_meetings_are_those_that_start_in_the_interval(lake):
    days = [make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH + timedelta(days=n)) for n in range(60)]
    a_lake = calendar(lake, days)
    start, end = MARCH + timedelta(days=10), MARCH + timedelta(days=50)
    staged = a_lake.source.stage_planned_meetings(
        start, end, a_lake.scope("planned_meetings", "2026-04"), a_lake.epoch.stage, lambda: None, lambda line: None
    )
    manifest = collect.collect_planned_meetings(a_lake.collection(), start, end, staged)
    assert manifest.rows == 40
    assert manifest.quality["copies_read"] == 40
    assert manifest.month is None


def test_o1_a_rerun_keeps_meetings_of_a_mailbox_that_may_no_longer_be_read(lake):
    a_lake = calendar(lake, make.meeting([ANA, BEN], organizer=ANA, attendees=[BEN, OUT], start=MARCH))
    _, before = a_lake.meetings()
    a_lake.allowed = [(make.oid(ANA), None, None)]
    manifest, after = a_lake.meetings()
    assert after == before
    assert manifest.quality["kept_earlier"] == 1


def test_o4_hidden_people_are_no_organizer_and_no_attendee(lake):
    a_lake = calendar(lake, make.event(ANA, organizer=OUT, attendees=[ANA, BEN], start=MARCH))
    a_lake.hidden, a_lake.hidden_domains = (BEN,), ("fabrikam.com",)
    _, rows = a_lake.meetings()
    assert rows[0]["organizer_address"] is None
    assert [person["address"] for person in rows[0]["attendees"]] == [ANA]
