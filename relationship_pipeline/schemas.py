"""Every Arrow schema of the lake and the column names that go with it, once.

Times are UTC microseconds. `mailbox` is the owner's directory object id. Keys are 16 bytes, as UUID in DuckDB and as
`fixed_size_binary(16)` in Arrow.
"""

from __future__ import annotations

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
KEY = pa.uuid()
ADDRESSES = pa.list_(pa.string())

STAGED_EMAIL = pa.schema(
    [
        ("mailbox", pa.string()),
        ("item_id", pa.string()),
        ("internet_message_id", pa.string()),
        ("conversation_id", pa.string()),
        ("conversation_index", pa.string()),
        ("sent_at", INSTANT),
        ("received_at", INSTANT),
        ("from_address", pa.string()),
        ("from_name", pa.string()),
        ("sender_address", pa.string()),
        ("to_addresses", ADDRESSES),
        ("cc_addresses", ADDRESSES),
        ("folder_class", pa.string()),
        ("is_draft", pa.bool_()),
        ("is_meeting_message", pa.bool_()),
        ("has_bulk_header", pa.bool_()),
    ]
)
"""One row a copy, as a source read it: addresses raw, nothing decided yet. `received_at` is never null."""

EMAIL = pa.schema(
    [
        ("message_key", KEY),
        ("mailbox", pa.string()),
        ("item_key", KEY),
        ("copy_rank", pa.int32()),
        ("conversation_key", KEY),
        ("received_at", INSTANT),
        ("sent_at", INSTANT),
        ("from_address", pa.string()),
        ("from_name", pa.string()),
        ("sender_address", pa.string()),
        ("to_addresses", ADDRESSES),
        ("cc_addresses", ADDRESSES),
        ("folder_class", pa.string()),
        ("is_meeting_message", pa.bool_()),
        ("is_bulk", pa.bool_()),
    ]
)
"""Lake table `email`, grain: one copy (mailbox, item) of an email received in the month, whatever the owner's later
opt-outs; rows of emails that the cap left out are absent. `copy_rank` 1 is the earliest copy in this month (B5).
`sent_at` is raw (N4's correction happens where copies are joined); addresses are N1, unresolved ones absent."""

ATTENDEES = pa.list_(pa.struct([("address", pa.string()), ("type", pa.string()), ("response", pa.string())]))

STAGED_MEETING = pa.schema(
    [
        ("mailbox", pa.string()),
        ("item_id", pa.string()),
        ("ical_uid", pa.string()),
        ("series_id", pa.string()),
        ("event_type", pa.string()),
        ("organizer_address", pa.string()),
        ("organizer_name", pa.string()),
        ("is_organizer", pa.bool_()),
        ("own_response", pa.string()),
        ("attendees", ATTENDEES),
        ("start_at", INSTANT),
        ("end_at", INSTANT),
        ("is_all_day", pa.bool_()),
        ("is_cancelled", pa.bool_()),
        ("is_draft", pa.bool_()),
        ("sensitivity", pa.string()),
    ]
)
"""One row a copy of a meeting, as a source read it; `event_type` is Graph's type, `start_at` never null."""

MEETINGS = pa.schema(
    [
        ("meeting_key", KEY),
        ("mailbox", pa.string()),
        ("item_key", KEY),
        ("series_key", KEY),
        ("organizer_address", pa.string()),
        ("is_organizer", pa.bool_()),
        ("own_response", pa.string()),
        ("attendees", ATTENDEES),
        ("start_at", INSTANT),
        ("end_at", INSTANT),
        ("is_all_day", pa.bool_()),
        ("is_cancelled", pa.bool_()),
    ]
)
"""Lake tables `meetings` (month of `start_at`) and `planned_meetings`, grain: one copy (mailbox, item).
`meeting_key` = hash of (iCalUId, start) (N10); addresses are N1; a missing iCalUId falls back to the item id."""

READABLE = pa.schema([("mailbox", pa.string()), ("since", INSTANT), ("until", INSTANT)])
"""Copies of the mailbox received in [since, until) may be collected now; null is open; several rows are possible."""

PEOPLE = pa.schema(
    [
        ("address", pa.string()),
        ("user_id", pa.string()),
        ("in_scope", pa.bool_()),
        ("may_introduce", pa.bool_()),
        ("display_name", pa.string()),
        ("primary_address", pa.string()),
        ("hidden", pa.bool_()),
    ]
)
"""Who is who after opt-outs (N2, K5), grain: one address of one member user of the directory."""

HIDDEN = pa.schema([("address", pa.string())])
"""Addresses to be removed as sender or recipient and never shown (O4 `everywhere`, O6)."""

USERS = pa.schema(
    [
        ("user_id", pa.string()),
        ("display_name", pa.string()),
        ("primary_address", pa.string()),
        ("user_principal_name", pa.string()),
        ("is_member", pa.bool_()),
        ("account_enabled", pa.bool_()),
        ("mailbox_kind", pa.string()),
        ("opt_out_attribute", pa.string()),
        ("is_gone", pa.bool_()),
    ]
)
"""Lake table `directory`, file `users`: one row a directory object. `is_gone`: no longer listed by the source."""

USER_ADDRESSES = pa.schema([("address", pa.string()), ("user_id", pa.string())])
"""Lake table `directory`, file `addresses`: every proxy address of a user, N1 form; X500 as `x500:` + lower case."""

GROUP_MEMBERS = pa.schema([("group_id", pa.string()), ("user_id", pa.string())])
"""Lake table `directory`, file `group_members`: transitive members of the groups that settings or opt-outs name."""

DOMAINS = pa.schema([("domain", pa.string())])
"""Lake table `directory`, file `domains`: internal domains of the source (N2), lower case ASCII."""
