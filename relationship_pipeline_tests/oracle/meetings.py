"""B4, B6, N10: from event rows to meetings.

Readings where the specification leaves room:

- Copies that are drafts, private or confidential, or that lie in no member's mailbox, are left out one by one; so are
  rows without an id or a start, and starts in a zone other than UTC. Without an iCalUId the item id stands for it.
- A meeting is cancelled if any copy of it says so.
- Organizer, end and all-day are those of the organizer's copy, else of the first copy by (mailbox, item id). The
  organizer's copy lies in the organizer's mailbox, or says isOrganizer.
- Attendees are the union over the copies, rooms (type `resource`) left out; the organizer is never counted as an
  attendee who may decline. The owner of a copy who is named nowhere in it takes no part.
- An attendee's own copy answers for him if it has a responseStatus at all, even `none`.
- A meeting with no or a negative length has 0 minutes.
"""

from collections import defaultdict
from dataclasses import dataclass

from relationship_pipeline_tests.oracle.mail import raw_address
from relationship_pipeline_tests.oracle.times import instant

MAX_MINUTES = 24 * 60


@dataclass
class Meeting:
    """One (iCalUId, start). `answers` maps each person taking part to an answer in lower case; the organizer's is
    `organizer`."""

    uid: str
    start: object
    end: object
    all_day: bool
    minutes: float
    cancelled: bool
    organizer: str | None
    answers: dict

    def not_declined(self):
        return {person for person, answer in self.answers.items() if answer != "declined"}

    def accepted(self):
        return {
            person
            for person, answer in self.answers.items()
            if answer in ("organizer", "accepted", "tentativelyaccepted")
        }


def count_meetings(export, people):
    """-> every meeting of the export, whenever it starts, cancelled ones included."""
    copies = defaultdict(dict)
    for row in export.events():
        mailbox, item = str(row.get("puser")).lower(), row.get("id")
        start = _moment(row.get("start"))
        if mailbox not in people.by_mailbox or not item or start is None:
            continue
        if row.get("isdraft") or (row.get("sensitivity") or "normal").lower() in ("private", "confidential"):
            continue
        copies[row.get("icaluid") or item, start][mailbox, item] = row
    return [_meeting(uid, start, group, people) for (uid, start), group in copies.items()]


def _moment(value):
    if not isinstance(value, dict) or (value.get("timezone") or "UTC").upper() not in ("UTC", "ETC/UTC", "GMT"):
        return None
    return instant(value.get("datetime"))


def _meeting(uid, start, group, people):
    in_order = [group[item] for item in sorted(group)]
    organizer_copy = next((row for row in in_order if _is_organizers(row, people)), None)
    leading = organizer_copy or in_order[0]
    organizer = _party(leading.get("organizer"), people)
    listed = {}
    for row in [*in_order, *([organizer_copy] if organizer_copy else [])]:
        for attendee in row.get("attendees") or []:
            person = _party(attendee, people)
            if person and (attendee.get("type") or "").lower() != "resource":
                listed.setdefault(person, "none")
                if row is organizer_copy:
                    listed[person] = _answer(attendee.get("status")) or "none"
    for row in in_order:
        owner = people.by_mailbox[str(row["puser"]).lower()].address
        own_answer = _answer(row.get("responsestatus"))
        if owner in listed and own_answer:
            listed[owner] = own_answer
    if organizer:
        listed[organizer] = "organizer"
    end = _moment(leading.get("end")) or start
    minutes = 0.0 if leading.get("isallday") else (end - start).total_seconds() / 60
    return Meeting(
        uid=uid,
        start=start,
        end=end,
        all_day=bool(leading.get("isallday")),
        minutes=min(max(minutes, 0.0), MAX_MINUTES),
        cancelled=any(row.get("iscancelled") for row in in_order),
        organizer=organizer,
        answers=listed,
    )


def _is_organizers(row, people):
    owner = people.by_mailbox[str(row["puser"]).lower()].address
    return bool(row.get("isorganizer")) or owner == _party(row.get("organizer"), people)


def _party(party, people):
    return people.person(people.address(raw_address(party)))


def _answer(status):
    return ((status or {}).get("response") or "").lower()
