"""Schemas of the kinds of files in `lake/interactions`, for windows in which a kind has no file."""

from __future__ import annotations

import pyarrow as pa

from relationship_pipeline.schemas import INSTANT, KEY

_TEXT, _COUNT, _BOOL = pa.string(), pa.int64(), pa.bool_()
_RECORD = [("record_type", _TEXT), ("record_id", _TEXT)]
_EMAIL_COUNTS = [
    ("emails_sent", _COUNT),
    ("emails_received", _COUNT),
    ("sent_answerable", _COUNT),
    ("received_answerable", _COUNT),
]
_MEETING_COUNTS = [("meetings_sent", _COUNT), ("meetings_received", _COUNT)]
_TIMES = [("team_micros", _COUNT), ("customer_micros", _COUNT), ("first_at", INSTANT), ("last_mark", _COUNT)]
_NAMES = [("name", _TEXT), ("named_at", INSTANT)]
_DAY = [("day", pa.date32())]
_IDENTITIES = pa.schema(
    [
        ("address", _TEXT),
        ("side", _TEXT),
        ("person", _TEXT),
        ("account_id", _TEXT),
        ("accounts", pa.list_(_TEXT)),
        ("is_watched", _BOOL),
    ]
)
_PAIR = [("record_type", _TEXT), ("record_key", pa.uint64()), ("user_key", pa.uint64())]


def _pairs(counts: tuple[str, ...], sums: tuple[str, ...]) -> pa.Schema:
    scales = ("short", "medium", "long")
    return pa.schema(
        [
            *_PAIR,
            ("month_end", INSTANT),
            *[(name, _COUNT) for name in counts],
            ("day_marks", _COUNT),
            *[(f"{name}_{scale}", _COUNT) for name in sums for scale in scales],
            *[(name, INSTANT) for name in ("last_at", "tie_first_at", "tie_last_at")],
            *[(f"days_{scale}", _COUNT) for scale in scales],
        ]
    )


_REPLIES = [("thread", pa.uint64()), ("by_us", _BOOL), ("question", pa.uint64()), ("question_at", INSTANT)]

STORED: dict[str, pa.Schema] = {
    "email_identities": _IDENTITIES,
    "meeting_identities": _IDENTITIES,
    "email_owners": pa.schema([("mailbox", _TEXT), ("is_us", _BOOL)]),
    "email_days": pa.schema([*_RECORD, *_DAY, *_EMAIL_COUNTS, *_TIMES]),
    "meeting_days": pa.schema([*_RECORD, *_DAY, *_MEETING_COUNTS, *_TIMES]),
    "email_records": pa.schema([*_RECORD, *_EMAIL_COUNTS, *_TIMES, *_NAMES]),
    "meeting_records": pa.schema([*_RECORD, *_MEETING_COUNTS, *_TIMES]),
    "email_pairs": _pairs(("emails", "emails_sent", "emails_received"), ("outward", "inward")),
    "meeting_pairs": _pairs(("meetings", "accepted"), ("meetings",)),
    "shared_days": pa.schema([*_PAIR, ("month_end", INSTANT), ("meeting_at", INSTANT)]),
    "stray_days": pa.schema([*_PAIR, *_DAY]),
    "conversations": pa.schema([*_RECORD, ("thread", pa.uint64()), ("first_mark", _COUNT)]),
    "replies": pa.schema([*_RECORD, *_REPLIES, ("answer", pa.uint64()), ("answer_at", INSTANT), ("is_first", _BOOL)]),
    "border_replies": pa.schema(
        [
            *_RECORD,
            *_REPLIES,
            ("question_received_at", INSTANT),
            ("answer", pa.uint64()),
            ("answer_at", INSTANT),
            ("answer_received_at", INSTANT),
        ]
    ),
    "last_questions": pa.schema([*_RECORD, ("by_us", _BOOL), ("question", pa.uint64()), ("sent_at", INSTANT)]),
}

CRM_ACTIVITIES: dict[str, pa.Schema] = {
    "crm_emails": pa.schema(
        [
            ("message_key", KEY),
            ("thread", pa.uint64()),
            ("sent_at", INSTANT),
            ("by_us", _BOOL),
            ("is_bulk", _BOOL),
            ("contacts", pa.list_(_TEXT)),
            ("inside", pa.list_(_TEXT)),
            ("named", pa.list_(_TEXT)),
        ]
    ),
    "crm_meetings": pa.schema(
        [
            ("meeting_key", KEY),
            ("start_at", INSTANT),
            ("by_us", _BOOL),
            ("micros", _COUNT),
            ("contacts", pa.list_(_TEXT)),
            ("inside", pa.list_(_TEXT)),
        ]
    ),
}
STORED |= CRM_ACTIVITIES
