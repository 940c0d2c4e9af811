"""The ground truth of a month: what a perfect client would know, so that tests compare sets and not counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relationship_pipeline.simulator.mail import DRAFT, REQUEST, conversation_guid
from relationship_pipeline.simulator.mailbox import FOLDERS, LEFT_OUT
from relationship_pipeline.simulator.shapes import ical_uid
from relationship_pipeline.simulator.tenant import Tenant
from relationship_pipeline.simulator.times import iso, month_bounds


def messages(tenant: Tenant, month: str, corrupt: frozenset[tuple[int, int]] = frozenset()) -> Iterator[dict[str, Any]]:
    """One row an email that was received in the month in any mailbox and can be seen now.

    Addresses are as a careful reader resolves them (`""`: cannot be resolved). A copy's `expected` says whether it
    belongs in a collection: no draft, not in a folder that is left out, not unreadable. `corrupt` holds (mailbox,
    copy number) of items that a fault makes unreadable.
    """
    for email, copies in tenant.emails(month):
        rows = []
        for copy in copies:
            folder = copy.folder_at(tenant.now)
            rows.append(
                {
                    "mailbox": tenant.people.users[copy.mailbox].oid,
                    "id": tenant.ids(copy.mailbox).immutable(copy.number),
                    "received": iso(copy.received),
                    "folder": FOLDERS[folder].well_known or FOLDERS[folder].name,
                    "expected": email.kind != DRAFT
                    and folder not in LEFT_OUT
                    and (copy.mailbox, copy.number) not in corrupt,
                }
            )
        yield {
            "internetMessageId": email.message_id,
            "conversation": conversation_guid(email).hex(),
            "sent": iso(email.sent_header),
            "from": email.from_.canonical if email.from_ else None,
            "sender": email.sender.canonical if email.sender else None,
            "to": [person.canonical for person in email.to],
            "cc": [person.canonical for person in email.cc],
            "draft": email.kind == DRAFT,
            "meetingMessage": email.kind >= REQUEST,
            "bulk": email.bulk,
            "copies": rows,
        }


def meetings(tenant: Tenant, month: str) -> Iterator[dict[str, Any]]:
    """One row a meeting that starts in the month and stands in any calendar now."""
    for meeting, holders in tenant.month_meetings(*month_bounds(month)):
        yield {
            "iCalUId": ical_uid(meeting),
            "start": iso(meeting.start),
            "end": iso(meeting.end),
            "organizer": meeting.organizer.canonical,
            "attendees": {
                attendee.person.canonical: attendee.response if attendee.responded <= tenant.now else "none"
                for attendee in meeting.attendees
                if attendee.kind != "resource"
            },
            "allDay": meeting.all_day,
            "cancelled": meeting.cancelled and tenant.now >= meeting.modified,
            "private": meeting.private,
            "mailboxes": [tenant.people.users[holder].oid for holder in holders],
        }
