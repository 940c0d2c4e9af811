"""The export folder as a source: shapes, bad input, completeness, staging (interfaces.md 2, graph.md 5 and 7.2)."""

from __future__ import annotations

import errno
import gzip
import json
import multiprocessing
import os
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from relationship_pipeline.domain.months import month_range
from relationship_pipeline.errors import BadInput, ConsentRefused, PipelineError
from relationship_pipeline.lake.engine import storage_errors
from relationship_pipeline.sources.base import ReadScope
from relationship_pipeline.sources.data_connect.split import STAGE_FOLDER
from relationship_pipeline_tests import factories as make
from relationship_pipeline_tests.collecting import NOW, SmallLake, balances
from relationship_pipeline_tests.conftest import SHARED_DATA

ANA, BEN = "ana@contoso.com", "ben@contoso.com"
OUT = "zoe@fabrikam.com"
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path):
    return SmallLake(tmp_path / "export", tmp_path / "data")


def export(lake, **datasets):
    make.write_export(lake.export, **({"User_v1": [make.user(ANA), make.user(BEN)]} | datasets))
    return lake


def received(number=0, mailbox=ANA, **columns):
    return make.message(mailbox, sender=OUT, to=[mailbox], at=MARCH + number * timedelta(minutes=1), **columns)


def add(lake, name, content, dataset="Message_v1"):
    path = lake.export / dataset / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


# --- shapes


def test_v0_exports_in_pascal_case_read_the_same(tmp_path):
    rows = [received(n) for n in range(3)]
    folders = [make.mail_folder(ANA, "Inbox")]
    plain = make.write_export(tmp_path / "a", User_v1=[make.user(ANA)], Message_v1=rows, MailFolder_v0=folders)
    pascal = make.write_export(
        tmp_path / "b",
        pascal=("Message_v0", "MailFolder_v0", "User_v0"),
        User_v0=[make.user(ANA)],
        Message_v0=rows,
        MailFolder_v0=folders,
    )
    first = SmallLake(plain, tmp_path / "da").emails()
    second = SmallLake(pascal, tmp_path / "db").emails()
    assert first[1] == second[1]
    assert first[1][0]["folder_class"] == "inbox"


def test_exports_in_lower_case_read_the_same(tmp_path):
    """graph.md 5: the reader folds the case of keys."""
    datasets = {
        "User_v1": [make.user(ANA)],
        "Message_v1": [received(n) for n in range(3)],
        "CalendarView_v0": [make.event(ANA, organizer=ANA, start=MARCH)],
    }
    as_graph = SmallLake(make.write_export(tmp_path / "a", **datasets), tmp_path / "da")
    lower = SmallLake(make.write_export(tmp_path / "b", **_lower(datasets, keep=1)), tmp_path / "db")
    assert len(as_graph.emails()[1]) == 3
    assert as_graph.emails()[1] == lower.emails()[1]
    assert len(as_graph.meetings()[1]) == 1
    assert as_graph.meetings()[1] == lower.meetings()[1]


def _lower(value, keep=0):
    """With keys in lower case, but for those of the outermost levels."""
    if isinstance(value, dict):
        return {key if keep else key.lower(): _lower(item, max(keep - 1, 0)) for key, item in value.items()}
    return [_lower(item, keep) for item in value] if isinstance(value, list) else value


def test_a_file_whose_name_holds_an_address_is_named_by_its_size(lake):
    """interfaces.md 5: what the source calls its files reaches messages, and these reach Dagster's storage."""
    export(lake)
    add(lake, f"{BEN}.json.gz", gzip.compress(lines(received()).encode())[:-9])
    with pytest.raises(BadInput, match=r"a file of message of \d+ bytes cannot be read whole") as caught:
        lake.emails()
    assert BEN not in str(caught.value)


def test_gzip_is_told_by_content_and_any_file_name_will_do(lake):
    export(lake)
    names = ["part-0.json.gz", "JsonDataset", "a [1]*?.json", "ünï.txt", "no_gz_at_the_end.json"]
    for number, name in enumerate(names):
        content = lines(received(number)).encode()
        add(lake, name, gzip.compress(content) if number in (0, 4) else content)
    add(lake, "deep/er/part.json", lines(received(9)))
    assert lake.emails()[0].quality["distinct_emails"] == 6


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_byte_order_mark_costs_no_row(lake, pack):
    export(lake, CalendarView_v0=[])
    add(lake, "a.json", pack(b"\xef\xbb\xbf" + lines(*[received(n) for n in range(3)]).encode()))
    planned = make.event(ANA, organizer=ANA, start=MARCH)
    add(lake, "a.json", pack(b"\xef\xbb\xbf" + lines(planned).encode()), "CalendarView_v0")
    manifest, rows = lake.emails()
    assert (len(rows), manifest.quality["dropped"]) == (3, {})
    assert len(lake.meetings()[1]) == 1


def test_metadata_and_the_marks_of_copy_tools_are_skipped(lake):
    export(lake, Message_v1=[received()])
    add(lake, "_SUCCESS", "")
    add(lake, ".part-0.crc", b"\x00\x01")
    add(lake, "metadata/run.json", "not data")
    assert lake.emails()[0].quality["copies_read"] == 1


def test_inbox_and_sent_items_stand_in_for_message(lake):
    export(lake, Inbox_v1=[received()], SentItem_v0=[make.message(ANA, sender=ANA, to=[OUT], at=MARCH)])
    _, rows = lake.emails()
    assert sorted(row["folder_class"] for row in rows) == ["inbox", "sent"]


def test_columns_that_the_pipeline_left_out_are_no_error(lake):
    row = received()
    for key in ("conversationId", "conversationIndex", "sender", "isDraft", "internetMessageHeaders", "parentFolderId"):
        del row[key]
    export(lake, Message_v1=[row])
    _, rows = lake.emails()
    assert rows[0]["conversation_key"] is None


def test_content_columns_are_never_staged(lake):
    secret = "the subject nobody may keep"
    row = received(subject=secret, bodyPreview=secret, body={"content": secret}, attachments=[{"name": secret}])
    export(lake, Message_v1=[row])
    lake.emails()
    for path in lake.data.rglob("*.parquet"):
        assert secret not in str(pq.read_table(path, partitioning=None).to_pylist())


def test_a_row_of_many_megabytes_is_read(lake):
    export(lake, Message_v1=[received(body={"content": "x" * 20_000_000})])
    assert lake.emails()[0].quality["distinct_emails"] == 1


def test_times_with_an_offset_and_fractions_are_instants(lake):
    export(lake, Message_v1=[received(receivedDateTime="2026-04-01T01:30:00.1234567+02:00")])
    _, rows = lake.emails()
    assert rows[0]["received_at"] == datetime(2026, 3, 31, 23, 30, 0, 123456, tzinfo=UTC)


# --- bad rows, counted by reason (issue: bad input)


def test_bad_rows_are_counted_by_reason_and_the_rest_is_collected(lake):
    no_id, no_owner, no_time = received(1), received(2), received(3)
    del no_id["id"], no_owner["puser"], no_time["receivedDateTime"]
    ancient = received(4, receivedDateTime="1601-01-01T00:00:00Z")
    early = received(5, receivedDateTime="1980-01-01T00:00:00Z", sentDateTime="1980-01-01T00:00:00Z")
    future = received(6, receivedDateTime="2044-05-05T05:05:05Z")
    garbled = received(7, receivedDateTime="yesterday")
    export(lake)
    add(
        lake,
        "a.json",
        lines(received(), no_id, no_owner, no_time, ancient, early, future, garbled, "not json", "[1]", ""),
    )
    manifest, rows = lake.emails()
    assert len(rows) == 1
    assert manifest.quality["dropped"] == {
        "impossible_date": 3,
        "no_item_id": 1,
        "no_mailbox": 1,
        "no_received_time": 2,
        "not_json": 2,
    }
    assert balances(manifest.quality)


def test_rows_without_any_usable_time_are_counted_once_in_the_newest_month(lake):
    old = make.message(ANA, sender=OUT, to=[ANA], at=MARCH - 40 * DAY)
    export(lake)
    add(lake, "a.json", lines(old, received(), "not json"))
    add(lake, "b.json", lines(old | {"id": "other"}, "{}", "[]"))
    dropped = {month: lake.emails(month)[0].quality["dropped"] for month in ("2026-01", "2026-02", "2026-03")}
    assert dropped == {"2026-01": {}, "2026-02": {}, "2026-03": {"not_json": 3}}


def test_rows_with_an_impossible_date_are_counted_in_the_month_that_another_time_tells(lake):
    odd = make.message(ANA, sender=OUT, to=[ANA], at=MARCH - 40 * DAY) | {"receivedDateTime": "1601-01-01T00:00:00Z"}
    export(lake, Message_v1=[odd, received()])
    assert lake.emails("2026-01")[0].quality["dropped"] == {"impossible_date": 1}
    assert lake.emails("2026-03")[0].quality["dropped"] == {}


@pytest.mark.parametrize("day", ["2026-04-02T00:00:00Z", "1990-01-01T00:00:00Z"])
def test_the_edges_of_possible_dates(lake, day):
    export(lake, Message_v1=[received(receivedDateTime=day)])
    path = next((lake.export / "Message_v1").iterdir())
    os.utime(path, (NOW.timestamp() - 86400,) * 2)
    assert lake.emails(day[:7])[0].quality["distinct_emails"] == 1


@pytest.mark.parametrize("value", ["text", 7, [1], {"x": 1}, None, [{"emailAddress": "text"}], [None]])
def test_values_of_another_type_than_documented_are_taken_as_missing(lake, value):
    export(lake, Message_v1=[received() | {"ccRecipients": value, "from": value}, received(1)])
    manifest, rows = lake.emails()
    assert len(rows) == 2
    assert manifest.quality["status"] == "complete"


def test_addresses_of_any_length_and_kind_are_no_error(lake):
    nasty = [
        "x" * 10_000 + "@y.z",
        "",
        " ",
        "\u202eana@x.y",
        "a\u0000b@x.y",
        "'; drop table copies; --@x.y",
        "../../x@y.z",
    ]
    export(lake, Message_v1=[make.message(ANA, sender=OUT, to=nasty, at=MARCH)])
    manifest, rows = lake.emails()
    assert len(rows) == 1
    assert manifest.quality["unresolved_addresses"] >= 3


# --- files that cannot be read


def _cut_gzip(lake):
    rows = gzip.compress(lines(*[received(n) for n in range(3000)]).encode())
    return add(lake, "cut.json.gz", rows[: len(rows) // 2])


def _cut_plain(lake):
    return add(lake, "cut.json", lines(*[received(n) for n in range(30)])[:-40])


def _damaged_gzip(lake):
    rows = bytearray(gzip.compress(lines(*[received(n) for n in range(3000)]).encode()))
    rows[len(rows) // 2 : len(rows) // 2 + 400] = b"\xff" * 400
    return add(lake, "cut.json.gz", bytes(rows))


def _flipped_gzip(lake):
    rows = bytearray(gzip.compress(lines(*[received(n) for n in range(3000)]).encode()))
    rows[len(rows) // 2] ^= 1
    return add(lake, "cut.json.gz", bytes(rows))


def _no_gzip(lake):
    return add(lake, "cut.json.gz", b"\x1f\x8b\x08 but nothing of the kind")


def _no_json(lake):
    return add(lake, "cut.csv", "id,received\n1,2026-03-01\n")


def _array(lake):
    return add(lake, "cut.json", json.dumps([received(1), received(2)]))


BROKEN = [_cut_gzip, _cut_plain, _damaged_gzip, _flipped_gzip, _no_gzip, _no_json, _array]


@pytest.mark.parametrize("break_file", BROKEN)
def test_a_file_that_cannot_be_read_whole_stops_its_months_in_one_line_that_names_it(lake, break_file):
    export(lake, Message_v1=[received()])
    before, _ = lake.emails()
    path = break_file(lake)
    with pytest.raises(BadInput) as stopped:
        lake.emails()
    assert f"Message_v1/{path.name}" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert lake.rows("email", "2026-03")
    path.unlink()
    assert lake.emails()[0].content_id == before.content_id


@pytest.mark.parametrize("break_file", BROKEN)
def test_on_bad_file_partial_collects_the_rest_and_says_so(lake, break_file):
    export(lake, Message_v1=[received()])
    path = break_file(lake)
    lake.source_options = {"on_bad_file": "partial"}
    manifest, rows = lake.emails()
    assert len(rows) == 1
    assert manifest.quality["status"] == "partial"
    assert manifest.quality["partial_reasons"] == [f"export file cannot be read: Message_v1/{path.name}"]


def test_on_bad_file_partial_keeps_what_stood_before(lake):
    export(lake, Message_v1=[received(0)])
    add(lake, "second.json.gz", gzip.compress(lines(received(1)).encode()))
    lake.emails()
    whole = (lake.export / "Message_v1" / "second.json.gz").read_bytes()
    add(lake, "second.json.gz", whole[:-20])
    lake.source_options = {"on_bad_file": "partial"}
    manifest, rows = lake.emails()
    assert len(rows) == 2
    assert manifest.quality["kept_earlier"] == 1


def test_nothing_of_a_broken_file_stays_on_disk(lake):
    export(lake, Message_v1=[received()])
    _cut_gzip(lake)
    with pytest.raises(BadInput):
        lake.emails()
    assert not list(lake.epoch.stage.rglob(".tmp-*"))
    assert not list(lake.epoch.spill.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line(code):
    import duckdb

    for error in (OSError(code, os.strerror(code)), duckdb.IOException(f"Could not write: {os.strerror(code)}")):
        with pytest.raises(PipelineError, match="disk full while splitting"), storage_errors("splitting a file"):
            raise error


# --- missing data sets


@pytest.mark.parametrize(
    ("datasets", "missing"),
    [
        ({"Message_v1": [received()]}, "User_v1"),
        ({"User_v1": [make.user(ANA)]}, "Message_v1"),
        ({"User_v1": [make.user(ANA)], "Inbox_v1": [received()]}, "SentItem_v1"),
        ({"User_v1": [make.user(ANA)], "SentItem_v1": [received()]}, "Inbox_v1"),
    ],
)
def test_a_missing_required_data_set_is_one_line_that_names_it(lake, datasets, missing):
    make.write_export(lake.export, **datasets)
    with pytest.raises(BadInput, match=missing):
        lake.source.stage_emails("2026-03", ReadScope([]), lake.epoch.stage, lambda: None, lambda line: None)


def test_a_missing_export_folder_is_one_line(lake):
    with pytest.raises(BadInput, match="export folder"):
        lake.source.read_directory([])


def test_what_the_export_does_not_hold_is_said(lake):
    export(lake, Message_v1=[received()])
    assert lake.emails()[0].quality["not_provided"] == ["MailFolder_v0"]
    manifest, rows = lake.meetings()
    assert rows == []
    assert manifest.quality["not_provided"] == ["CalendarView_v0", "Event_v1"]
    assert manifest.quality["status"] == "complete"


def test_event_without_calendar_view_counts_single_meetings_and_no_series_masters(lake):
    single = make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH)
    master = make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH + DAY, type="seriesMaster")
    export(lake, Message_v1=[received()], Event_v1=[single, master])
    manifest, rows = lake.meetings()
    assert len(rows) == 1
    assert manifest.quality["dropped"] == {"series_master": 1}
    assert manifest.quality["not_provided"] == ["CalendarView_v0"]


def test_the_same_meeting_in_event_and_calendar_view_is_one_copy(lake):
    single = make.event(ANA, organizer=ANA, attendees=[OUT], start=MARCH)
    export(lake, Message_v1=[received()], Event_v1=[single], CalendarView_v0=[single])
    assert lake.meetings()[0].rows == 1


def test_meetings_in_another_zone_and_with_impossible_dates(lake):
    berlin = make.event(ANA, organizer=ANA, start=MARCH)
    berlin["start"] = {"dateTime": "2026-03-10T13:00:00.0000000", "timeZone": "Europe/Berlin"}
    windows = make.event(ANA, organizer=ANA, start=MARCH + DAY)
    windows["start"] = {"dateTime": "2026-03-11T13:00:00.0000000", "timeZone": "Pacific Standard Time"}
    nowhere = make.event(ANA, organizer=ANA, start=MARCH + DAY)
    nowhere["start"] = {"dateTime": "2026-03-11T13:00:00.0000000", "timeZone": "Customized Time Zone"}
    never = make.event(ANA, organizer=ANA, start=MARCH + 2 * DAY)
    never["start"] = {"dateTime": "0001-01-01T00:00:00.0000000", "timeZone": "UTC"}
    backwards = make.event(ANA, organizer=ANA, start=MARCH + 3 * DAY, minutes=-30)
    export(lake, Message_v1=[received()], CalendarView_v0=[berlin, windows, nowhere, never, backwards])
    manifest, rows = lake.meetings()
    assert [(row["start_at"], row["end_at"] - row["start_at"]) for row in rows] == [
        (MARCH, timedelta(minutes=30)),
        (datetime(2026, 3, 11, 20, tzinfo=UTC), timedelta(0)),
        (MARCH + 3 * DAY, timedelta(0)),
    ]
    assert manifest.quality["dropped"] == {"impossible_date": 1, "unknown_time_zone": 1}


def test_a_time_with_an_offset_of_its_own_needs_no_zone(lake):
    event = make.event(ANA, organizer=ANA, start=MARCH)
    event["start"] = {"dateTime": "2026-03-10T14:00:00.0000000+02:00", "timeZone": "Pacific Standard Time"}
    event["end"] = {"dateTime": "2026-03-10T07:30:00-0500", "timeZone": "UTC"}
    export(lake, Message_v1=[received()], CalendarView_v0=[event])
    (row,) = lake.meetings()[1]
    assert (row["start_at"], row["end_at"]) == (MARCH, MARCH + timedelta(minutes=30))


# --- summary rows


def test_b9_summary_rows_prove_completeness_and_are_no_messages(lake):
    rows = [received(0, ANA), received(1, BEN), make.summary_row(ANA), make.summary_row(BEN)]
    manifest, _ = export(lake, Message_v1=rows).emails()
    assert manifest.quality["copies_read"] == 2
    assert manifest.quality["mailboxes"] == {"expected": 2, "done": 2, "missing": 0, "refused": 0}
    assert manifest.quality["status"] == "complete"


def test_b9_a_mailbox_without_its_summary_row_makes_the_month_partial(lake):
    manifest, _ = export(lake, Message_v1=[received(0, ANA), received(1, BEN), make.summary_row(ANA)]).emails()
    assert manifest.quality["mailboxes"]["missing"] == 1
    assert manifest.quality["status"] == "partial"


@pytest.mark.parametrize("change", [{"userHasCompleteData": False}, {"errorInformation": "Mailbox moved"}])
def test_b9_an_incomplete_summary_makes_the_month_partial(lake, change):
    summary = make.summary_row(BEN)
    summary["rowinformation"] |= change
    manifest, _ = export(lake, Message_v1=[received(0, ANA), make.summary_row(ANA), summary]).emails()
    assert manifest.quality["mailboxes"] == {"expected": 2, "done": 1, "missing": 0, "refused": 1}
    assert manifest.quality["status"] == "partial"


def test_b9_a_mailbox_with_no_mail_is_done_when_its_summary_says_so(lake):
    summary = make.summary_row(BEN)
    summary["rowinformation"] |= {"userHasCompleteData": False, "userReturnedNoData": True}
    manifest, _ = export(lake, Message_v1=[received(0, ANA), make.summary_row(ANA), summary]).emails()
    assert manifest.quality["status"] == "complete"


# --- directory


def test_n2_the_directory_knows_all_addresses_of_a_user(lake):
    row = make.user(ANA, aliases=["Ana.Old@Contoso.com"], onPremisesExtensionAttributes={"extensionAttribute7": "out"})
    export(lake, User_v1=[row, make.user("guest@x.y", user_type="Guest")], Message_v1=[received()])
    lake.source_options = {"opt_out_attribute": "extensionAttribute7"}
    directory = lake.source.read_directory([])
    users = {user["user_id"]: user for user in directory.users.to_pylist()}
    assert users[make.oid(ANA)]["opt_out_attribute"] == "out"
    assert users[make.oid(ANA)]["primary_address"] == ANA
    assert not users[make.oid("guest@x.y")]["is_member"]
    mine = [row["address"] for row in directory.addresses.to_pylist() if row["user_id"] == make.oid(ANA)]
    assert mine == sorted([ANA, "ana.old@contoso.com", f"x500:{make.x500(ANA).lower()}"])
    assert directory.domains.to_pylist() == [{"domain": "contoso.com"}]


def test_n2_free_mail_is_never_an_internal_domain(lake):
    export(lake, User_v1=[make.user("ana@gmail.com"), make.user(BEN)], Message_v1=[received()])
    lake.source_options = {"free_mail_domains": ["gmail.com"]}
    assert lake.source.read_directory([]).domains.to_pylist() == [{"domain": "contoso.com"}]


def _member(group, member, kind="user"):
    return {"id": member, "ODataType": f"#microsoft.graph.{kind}", "pObjectId": group, "ptenant": make.TENANT}


def test_o1_members_of_nested_groups_even_round_in_circles(lake):
    rows = [
        _member("g1", make.oid(ANA)),
        _member("g1", "g2", "group"),
        _member("g2", make.oid(BEN)),
        _member("g2", "g1", "group"),
    ]
    export(lake, Message_v1=[received()], GroupMembers_v0=rows)
    members = lake.source.read_directory(["G1"]).group_members.to_pylist()
    assert {(row["group_id"], row["user_id"]) for row in members} == {("G1", make.oid(ANA)), ("G1", make.oid(BEN))}


def test_o1_a_nested_group_whose_members_are_not_listed_stops_the_run(lake):
    """Its members would be read although their group opted out."""
    rows = [_member("g1", make.oid(ANA)), _member("g1", "g2", "group")]
    export(lake, Message_v1=[received()], GroupMembers_v0=rows)
    with pytest.raises(BadInput, match="members of 1 groups that are nested"):
        lake.source.read_directory(["g1"])


def test_o1_a_membership_is_known_as_of_when_the_export_was_written(lake):
    """Whoever joined between that and its reading may have been a member since."""
    export(lake, Message_v1=[received()], GroupMembers_v0=[_member("g1", make.oid(ANA))])
    written = NOW - 2 * DAY
    for path in (lake.export / "GroupMembers_v0").iterdir():
        os.utime(path, (written.timestamp(), written.timestamp()))
    directory = lake.source.read_directory(["g1"])
    assert directory.members_at == written < directory.read_at


@pytest.mark.parametrize(
    "damaged",
    ['{"id": "', "no JSON", json.dumps({"pObjectId": "g1"}), json.dumps({"id": make.oid(BEN)})],
    ids=["cut", "garbage", "no member", "no group"],
)
def test_o1_a_damaged_row_of_group_members_stops_the_run(lake, damaged):
    """Whoever stood there would be read although they opted out."""
    export(lake, Message_v1=[received()])
    add(lake, "members.json", lines(_member("g1", make.oid(ANA)), damaged), "GroupMembers_v0")
    with pytest.raises(BadInput, match=r"GroupMembers_v0/members\.json.*export it again"):
        lake.source.read_directory(["g1"])


@pytest.mark.parametrize("encoding", ["cut", "utf-16"])
def test_a_damaged_list_of_users_stops_the_run(lake, encoding):
    """Nothing would be collected of those who are missing, and nobody told."""
    rows = lines(make.user(ANA), make.user(BEN))
    export(lake, Message_v1=[received()])
    shutil.rmtree(lake.export / "User_v1")
    add(lake, "users.json", rows[:-20].encode() if encoding == "cut" else rows.encode(encoding), "User_v1")
    with pytest.raises(BadInput, match=r"User_v1/users\.json.*export it again"):
        lake.source.read_directory([])


@pytest.mark.parametrize(
    ("dataset", "row", "where"),
    [
        ("User_v1", {"rowinformation": 1}, "rowinformation"),
        ("User_v1", {"mail": {"secret": "value"}}, "mail"),
        ("User_v1", {"proxyAddresses": "SMTP:ana@contoso.com"}, "proxyaddresses"),
        ("User_v1", {"accountEnabled": "perhaps"}, "accountenabled"),
        ("GroupMembers_v0", {"id": ["g1"]}, "id"),
        ("MailFolder_v0", {"displayName": 7}, "displayname"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_of_another_shape_is_one_line_that_names_it_and_no_value(lake, dataset, row, where):
    export(lake, Message_v1=[received()])
    good = {"User_v1": make.user(ANA), "GroupMembers_v0": _member("g1", make.oid(ANA))}.get(dataset, {})
    add(lake, "odd.json", lines({**good, "puser": make.oid(ANA), **row}), dataset)
    with pytest.raises(BadInput, match=rf"line 1 of {dataset}/odd\.json .*\$\.{where}.*export it again") as refused:
        lake.source.read_directory(["g1"] if dataset == "GroupMembers_v0" else [])
        lake.emails()
    assert "secret" not in str(refused.value)


def test_a_name_that_was_cut_within_a_character_is_kept(lake):
    export(lake, Message_v1=[received()], User_v1=[])
    add(lake, "cut.json", lines(make.user(ANA, name="Ana \ud83d")), "User_v1")
    assert lake.source.read_directory([]).users["display_name"].to_pylist() == ["Ana \ufffd"]


def test_o1_a_configured_group_stops_the_run_when_the_export_has_no_group_members(lake):
    export(lake, Message_v1=[received()])
    with pytest.raises(BadInput, match="GroupMembers_v0"):
        lake.source.read_directory(["g1"])


def test_o1_a_group_that_the_export_does_not_list_stops_the_run(lake):
    export(lake, Message_v1=[received()], GroupMembers_v0=[_member("g1", make.oid(ANA))])
    with pytest.raises(BadInput, match="1 of the 2 groups"):
        lake.source.read_directory(["g1", "g9"])


# --- staging


def test_each_export_file_is_read_once_for_all_months(lake):
    rows = [make.message(ANA, sender=OUT, to=[ANA], at=MARCH - number * 20 * DAY) for number in range(6)]
    export(lake, files=3, Message_v1=rows)
    months = month_range("2025-11", "2026-03")
    total = sum(lake.emails(month)[0].quality["distinct_emails"] for month in months)
    assert total == 6
    assert len(lake.progress) == 3


def test_a_file_that_changed_is_read_again_and_its_old_split_goes(lake):
    export(lake, Message_v1=[received()])
    path = add(lake, "more.json", lines(received(1)))
    assert lake.emails()[0].quality["distinct_emails"] == 2
    path.write_text(lines(received(1), received(2)))
    assert lake.emails()[0].quality["distinct_emails"] == 3
    path.unlink()
    assert lake.emails()[0].quality["distinct_emails"] == 1
    assert len([split for split in (lake.epoch.stage / STAGE_FOLDER).iterdir() if split.is_dir()]) == 1


def test_w5_a_split_that_an_eraser_took_files_from_is_made_again(lake):
    export(lake, Message_v1=[received()])
    before = lake.emails()
    (part,) = (lake.epoch.stage / STAGE_FOLDER).rglob("*.parquet")
    part.unlink()
    assert lake.emails()[1] == before[1]


def test_o1_rows_of_mailboxes_out_of_scope_are_counted_by_month_and_mailbox_and_never_staged(lake):
    rows = [received(n, box) for box in (ANA, BEN) for n in range(3)] + [make.summary_row(ANA), make.summary_row(BEN)]
    days = [make.event(BEN, organizer=BEN, attendees=[OUT], start=MARCH + n * DAY) for n in range(40)]
    export(lake, Message_v1=rows, CalendarView_v0=days)
    lake.allowed = [(make.oid(ANA), None, None)]
    quality = lake.emails()[0].quality
    assert (quality["copies_read"], quality["distinct_emails"], quality["dropped"]) == (6, 3, {"not_in_scope": 3})
    assert quality["mailboxes"] == {"expected": 1, "done": 1, "missing": 0, "refused": 0}
    assert lake.meetings()[0].quality["dropped"] == {"not_in_scope": 22}
    staged = [row for path in lake.epoch.stage.rglob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
    assert {row["mailbox"] for row in staged} == {make.oid(ANA)}
    start, end = MARCH + 10 * DAY, datetime(2026, 4, 11, tzinfo=UTC)
    planned = lake.source.stage_planned_meetings(
        start, end, lake.scope("meetings", "2026-03"), lake.epoch.stage, lambda: None, lambda line: None
    )
    assert planned.unread == {make.oid(BEN): 22}


def test_new_folder_names_are_learned_when_mail_folder_arrives(lake):
    export(lake, Message_v1=[received(folder="Junk Email")])
    assert lake.emails()[0].rows == 1
    export(lake, MailFolder_v0=[make.mail_folder(ANA, "Junk Email")])
    manifest, _ = lake.emails()
    assert manifest.rows == 0
    assert manifest.quality["dropped"] == {"junk": 1}


def test_c4_consent_is_asked_before_each_file(lake):
    export(lake, files=3, Message_v1=[received(n) for n in range(3)])
    asked = []

    def checkpoint():
        asked.append(1)
        if len(asked) == 2:
            raise ConsentRefused("consent withdrawn")

    with pytest.raises(ConsentRefused):
        lake.source.stage_emails(
            "2026-03", lake.scope("email", "2026-03"), lake.epoch.stage, checkpoint, lake.progress.append
        )
    assert len(lake.progress) == 1


def _stage_in_child(lake, results):
    results.put(len(lake.stage_emails("2026-03").files))


def test_two_processes_may_stage_at_once(lake):
    export(lake, files=2, Message_v1=[received(n) for n in range(200)])
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    plain = SmallLake(lake.export, lake.data)
    children = [context.Process(target=_stage_in_child, args=(plain, results)) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get(timeout=120) for _ in children] == [2, 2]
    for child in children:
        child.join()
    assert not list(lake.epoch.stage.rglob(".tmp-*"))
    assert lake.emails()[0].quality["distinct_emails"] == 200


# --- real rows


def test_the_published_samples_of_data_connect_are_read(tmp_path):
    samples = SHARED_DATA / "graph_samples"
    if not samples.is_dir():
        pytest.skip("the samples are not beside this checkout")
    for name in ("Message_v1", "SentItem_v0", "User_v1", "CalendarView_v0", "Event_v1"):
        (tmp_path / "export" / name).mkdir(parents=True)
        shutil.copy(samples / f"mgdc_{name}.jsonl", tmp_path / "export" / name / "part")
    lake = SmallLake(tmp_path / "export", tmp_path / "data")
    owners = {json.loads(line)["puser"] for path in lake.export.rglob("part") for line in path.read_text().splitlines()}
    lake.allowed = [(owner, None, None) for owner in sorted(owners)]
    emails = {month: lake.emails(month)[0].quality for month in month_range("2021-01", "2021-05")}
    assert sum(quality["copies_read"] for quality in emails.values()) == 20
    assert sum(quality["dropped"].get("meeting_message", 0) for quality in emails.values()) == 2
    assert all(balances(quality) for quality in emails.values())
    meetings = [lake.meetings(month)[0].quality for month in month_range("2020-01", "2021-06")]
    assert sum(quality["distinct_meetings"] for quality in meetings) == 11


def test_the_real_export_month_by_month_against_a_plain_recount(enron_export, tmp_path):
    copies, keys = Counter(), {}
    for path in sorted((enron_export / "Message_v1").iterdir()):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            row = json.loads(line)
            month = row["receivedDateTime"][:7]
            copies[month] += 1
            local, _, domain = row["internetMessageId"].strip().rpartition("@")
            keys.setdefault(month, set()).add((local, domain.lower()))
    lake = SmallLake(enron_export, tmp_path / "data")
    for month in sorted(copies):
        quality = lake.emails(month)[0].quality
        assert (quality["copies_read"], quality["distinct_emails"]) == (copies[month], len(keys[month]))
        assert quality["status"] == "complete"
        assert balances(quality)
    assert len(lake.progress) == 3
