"""A small made-up company as an export folder: three colleagues, three companies, four months. For tests that care about
the machinery and not about what is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from relationship_pipeline_tests import factories

COLLEAGUES = ("ada@contoso.com", "ben@contoso.com", "cleo@contoso.com")
CONTACTS = ("dora@northwind.example", "emil@northwind.example", "fay@tailspin.example", "gus@gmail.com")
MONTHS = ("2026-01", "2026-02", "2026-03", "2026-04")
AS_OF = "2026-05-01T00:00:00Z"


def environment(folder: Path) -> dict[str, str]:
    """Settings that read the company's export below `folder`."""
    return {
        "RELATIONSHIP_SOURCE": "data_connect",
        "RELATIONSHIP_DATA_CONNECT_DIR": str(folder / "export"),
        "RELATIONSHIP_AS_OF": AS_OF,
        "RELATIONSHIP_THREADS": "1",
        "RELATIONSHIP_MEMORY_LIMIT": "512MiB",
    }


def write_company(folder: Path) -> dict[str, str]:
    """Write the export; returns `environment(folder)`."""
    messages, events = [], []
    for number in range(160):
        at = datetime(2026, 1, 2, 8, tzinfo=UTC) + timedelta(hours=17 * number, minutes=number)
        ours, theirs = COLLEAGUES[number % 3], CONTACTS[number % 4]
        sender, to = (ours, theirs) if number % 2 else (theirs, ours)
        also = COLLEAGUES[(number + 1) % 3]
        message = {"sender": sender, "to": [to], "cc": [also], "at": at, "conversation": f"c{number // 4}"}
        message["message_id"] = f"<{number}@mail.example>"
        messages += [factories.message(mailbox, **message) for mailbox in (ours, also)]
    for number in range(12):
        start = datetime(2026, 1, 5, 10, tzinfo=UTC) + timedelta(days=9 * number)
        answers = [(COLLEAGUES[number % 3], "accepted"), (CONTACTS[number % 4], "accepted")]
        meeting = {"organizer": COLLEAGUES[0], "attendees": answers, "start": start, "uid": f"meeting-{number}"}
        events.append(factories.event(COLLEAGUES[0], **meeting))
    users = [factories.user(address) for address in COLLEAGUES]
    factories.write_export(folder / "export", User_v1=users, Message_v1=messages, CalendarView_v0=events, files=2)
    return environment(folder)
