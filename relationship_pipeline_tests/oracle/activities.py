"""N5-N7, N9, N10: what an email, a meeting or a call is to the records it may count for."""

from dataclasses import dataclass, field


@dataclass
class Activity:
    """Something that happened between people in scope and people outside, within the window.

    `inside` are the people in scope who take part: the sender of an email of ours; for one received those named in it
    and the owners of the mailboxes it lay in; a meeting's organizer and attendees not declined; a call's ends.
    `named_inside` leaves the mailbox owners out (ties count named recipients only). `outside` are the contacts who
    take part: the sender of an email received, the recipients of one sent, all at a meeting whatever their answer.
    """

    kind: str
    at: object
    by_us: bool
    inside: set
    outside: set
    key: str
    named_inside: set = field(default_factory=set)
    minutes: float = 0.0
    conversation: str | None = None
    bulk: bool = False
    audience: int = 0
    """recipients of an email; of a meeting its other participants in scope or outside, declined or not"""
    sender_name: str | None = None
    accepted: set = field(default_factory=set)
    regarding: set = field(default_factory=set)
    """(record type, record id) the CRM says this is about"""
    end: object = None
    all_day: bool = False

    @property
    def direction(self):
        return "sent" if self.by_us else "received"


def email_activity(email, people, regarding=frozenset()):
    """N6: the activity an email is, or None (mail among insiders, mail of internal people not in scope)."""
    named_inside = {person for person in email.recipients if people.in_scope(person)}
    if people.in_scope(email.sender):
        by_us, inside = True, {email.sender}
        outside = {person for person in email.recipients if people.outside(person)}
    elif people.outside(email.sender):
        by_us, inside, outside = False, named_inside | email.mailboxes, {email.sender}
    else:
        return None
    if not outside and not regarding:
        return None
    return Activity(
        kind="email",
        at=email.sent_at,
        by_us=by_us,
        inside=inside,
        outside=outside,
        key=email.key,
        named_inside=named_inside,
        conversation=email.conversation,
        bulk=email.bulk,
        audience=email.audience,
        sender_name=email.sender_name,
        regarding=set(regarding),
    )


def meeting_activity(meeting, people, regarding=frozenset(), *, among_us=False):
    """N10: the activity a meeting is, or None if it is cancelled or has nobody of ours, or (but for what is `among_us`)
    nobody outside."""
    inside = {person for person in meeting.not_declined() if people.in_scope(person)}
    outside = {person for person in meeting.answers if people.outside(person)}
    if meeting.cancelled or not inside or not (outside or regarding or among_us):
        return None
    return Activity(
        kind="meeting",
        at=meeting.start,
        by_us=meeting.organizer is not None and not people.outside(meeting.organizer),
        inside=inside,
        outside=outside,
        key=f"{meeting.uid} {meeting.start.isoformat()}",
        named_inside=inside,
        minutes=meeting.minutes,
        accepted=meeting.accepted(),
        audience=sum(
            answer != "organizer" and (people.in_scope(person) or people.outside(person))
            for person, answer in meeting.answers.items()
        ),
        regarding=set(regarding),
        end=meeting.end,
        all_day=meeting.all_day,
    )


def email_among_us(email, people):
    """K4: what an email of somebody in scope is to ties among colleagues, or None."""
    if not people.in_scope(email.sender):
        return None
    return Activity(
        kind="email",
        at=email.sent_at,
        by_us=True,
        inside={email.sender},
        outside=set(),
        key=email.key,
        named_inside={person for person in email.recipients if people.in_scope(person)},
        audience=email.audience,
    )


def team_minutes(activity, inside):
    """N9, N10: minutes of our side; `inside` are those of our people who count for the record."""
    if activity.kind == "email":
        return 5.0 if activity.by_us else 2.5 * len(inside)
    if activity.kind == "meeting":
        return activity.minutes * len(inside)
    return activity.minutes


def customer_minutes(activity, outside):
    """N9, N10: minutes of the customer's side; `outside` are the record's contacts taking part."""
    if activity.kind == "email":
        return 2.5 * len(outside) if activity.by_us else 5.0
    return activity.minutes
