"""The seeded tenant: one object that answers who there is, what lies in a mailbox, and what stands in a calendar."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from relationship_pipeline.simulator.mail import Email, Mail
from relationship_pipeline.simulator.mailbox import Copy, Mailboxes
from relationship_pipeline.simulator.meetings import Meeting, Meetings
from relationship_pipeline.simulator.people import TEAM_SIZE, People
from relationship_pipeline.simulator.scenario import Scenario
from relationship_pipeline.simulator.shapes import MailboxIds, on_calendar
from relationship_pipeline.simulator.streams import Streams
from relationship_pipeline.simulator.times import DAY, month_bounds, third_of


class Tenant:
    """A company on Microsoft 365, a pure function of its scenario and of the virtual clock `now`.

    Nothing is stored but caches and what was changed by hand through `mailboxes`. Times are seconds since 1970, UTC.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.people = People(scenario)
        self.streams = Streams(self.people)
        self.meetings = Meetings(self.streams)
        self.mail = Mail(self.streams, self.meetings)
        self.mailboxes = Mailboxes(self.streams, self.mail)
        self.now = scenario.starts_at
        self.ids = lru_cache(maxsize=65536)(lambda index: MailboxIds(self.people.users[index].oid))

    @property
    def tenant_id(self) -> str:
        return self.people.tenant_id

    def messages(self, mailbox: int, start: int, end: int) -> list[Copy]:
        """Copies in a mailbox received in [start, end) that can be seen now, oldest first."""
        return self.mailboxes.visible(mailbox, start, end, self.now)

    def calendar(self, mailbox: int, start: int, end: int) -> list[Meeting]:
        """Meetings in a mailbox's calendar that overlap [start, end), in order of their start."""
        found = []
        for stream in self.streams.of_mailbox(mailbox):
            if stream.kind in ("client", "internal", "team"):
                found += [
                    meeting
                    for meeting in self.meetings.starting(stream, start - DAY, end)
                    if meeting.end > start and self.attends(meeting, mailbox)
                ]
        if self.people.users[mailbox].kind == "room":
            found += self._bookings(mailbox, start, end)
        found.sort(key=lambda meeting: (meeting.start, meeting.uid))
        return found

    def attends(self, meeting: Meeting, mailbox: int) -> bool:
        """Whether the meeting stands in that calendar now."""
        return on_calendar(meeting, mailbox, self.now) and self.people.users[mailbox].active_at(meeting.start)

    def _bookings(self, room: int, start: int, end: int) -> list[Meeting]:
        """Meetings of the teams that book this room."""
        recipient = self.people.internal(room)
        rooms = len(self.meetings.rooms)
        teams = (self.scenario.users + TEAM_SIZE - 1) // TEAM_SIZE
        streams = {
            stream.key: stream
            for team in range(self.meetings.rooms.index(room), teams, rooms)
            for mailbox in self.people.team(team * TEAM_SIZE)
            for stream in self.streams.of_mailbox(mailbox)
            if stream.kind in ("internal", "team")
        }
        return [
            meeting
            for stream in streams.values()
            for meeting in self.meetings.starting(stream, start - DAY, end)
            if meeting.end > start
            and any(a.person is recipient for a in meeting.attendees)
            and self.attends(meeting, room)
        ]

    def emails(self, month: str) -> Iterator[tuple[Email, list[Copy]]]:
        """Every message with the copies of it that were received in the month and can be seen now."""
        start, end = month_bounds(month)
        for stream in self.streams.all():
            for third in range(third_of(start) - 1, third_of(end - 1) + 1):
                for email in self.mail.begun(stream, third):
                    copies = []
                    for mailbox in email.members:
                        copy = self.mailboxes.copy_of(email, mailbox)
                        if copy is not None and start <= copy.received < end and copy.visible(self.now):
                            copies.append(copy)
                    if copies:
                        yield email, copies
        giant = self.streams.busiest
        if self.streams.flood(giant):
            for day in range(start // DAY, end // DAY):
                for copy in self.mailboxes.flooded(giant, day):
                    if copy.visible(self.now):
                        yield copy.email, [copy]
        for email, copies in self.mailboxes.delivered():
            inside = [copy for copy in copies if start <= copy.received < end and copy.visible(self.now)]
            if inside:
                yield email, inside

    def month_meetings(self, start: int, end: int) -> Iterator[tuple[Meeting, list[int]]]:
        """Every meeting that starts in [start, end) with the mailboxes whose calendar shows it now."""
        for stream in self.streams.all():
            if stream.kind in ("client", "internal", "team"):
                for meeting in self.meetings.starting(stream, start, end):
                    holders = [mailbox for mailbox in meeting.members if self.attends(meeting, mailbox)]
                    holders += [
                        attendee.person.user
                        for attendee in meeting.attendees
                        if attendee.kind == "resource" and self.attends(meeting, attendee.person.user)
                    ]
                    if holders:
                        yield meeting, holders
