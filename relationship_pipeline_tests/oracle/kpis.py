"""N6-N11, K2: the published tables, one obvious loop each.

Readings where the specification leaves room:

- N8 is computed on the record: its outside side as a whole against the people of ours that count for it. A message of
  one contact of an account is answered by a later one of ours that names any contact of the account. An answer must
  lie in the window too, as must what it answers; it must be strictly later and at most 168 h later. Messages without
  a conversation key answer nothing, are not answered, and start no conversation. Of two messages at one instant theirs
  starts the conversation; of two answers at one instant the smaller key is the earlier.
- Bulk mail is left out of conversations_started too, N8 being about messages "bulk left out".
- `last_interaction_type` is email, meeting or phone_call, `…_direction` sent or received (a call made is sent).
  Two interactions at one instant are ordered by type, then direction, as text.
- `sent_received_ratio` = emails_sent / emails_received and the reverse; null where the divisor is 0.
- `days_since_last_interaction` is 0, not negative, when a sender's clock ran ahead of `as_of`.
- Team minutes of opportunities and leads count those of ours who are owner or in the team; if nobody of them takes
  part (an activity "regarding" it), all people in scope who do. Customer minutes of a mail of ours count the record's
  own contacts named in it.
- `daily_activity` has a row only for days with activity, `day` the UTC date.
- `most_contacted`: sides `us` and `them`, top 3 by emails + meetings, then the last date (newest first), then address;
  emails both ways. A colleague's emails are those he sent to the record's contacts and those of theirs that name him
  in To or Cc.
- `next_meeting_at`, `planned_meetings`: starts from `as_of` on, before 92 days after the end of the month of `as_of`,
  and only if that month is among the collected ones.
- `computation_accuracy` is `partial` for all rows if a month the window touches is partial or not collected, else
  `complete`.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from statistics import mean, median

from relationship_pipeline_tests.oracle.activities import customer_minutes, team_minutes
from relationship_pipeline_tests.oracle.times import DAY, HOUR

ANSWER_WITHIN = timedelta(hours=168)
TOP = 3


@dataclass
class Record:
    """A contact, account, opportunity or lead with the people who count for it.

    `team` is None where any user in scope counts. `outside` are its external people; of an opportunity those in
    `only_if_regarding` (the account's primary contact) count only in activities regarding it.
    """

    type: str
    id: str
    outside: set
    team: set | None = None
    only_if_regarding: set = frozenset()

    def takes(self, activity):
        """Whether an activity counts for this record (table at the head of product.md 6)."""
        by_team = self.team is None or bool(activity.inside & self.team)
        if (self.type, self.id) in activity.regarding:
            through_primary_contact_only = (
                activity.outside & self.only_if_regarding and not activity.outside & self.outside
            )
            return by_team or not through_primary_contact_only
        return by_team and bool(activity.inside) and bool(activity.outside & self.outside)

    def contacts_in(self, activity):
        return activity.outside & (self.outside | self.only_if_regarding)

    def colleagues_in(self, activity):
        if self.team is None:
            return activity.inside
        return activity.inside & self.team or activity.inside


def index_by_link(activities):
    """Activities by each outside person and each regarded record, so that a record need not look at all of them."""
    links = defaultdict(list)
    for activity in activities:
        for link in activity.outside | activity.regarding:
            links[link].append(activity)
    return links


def activities_of(record, links):
    """The activities that count for a record, each once, by time."""
    found = {}
    for link in {*record.outside, *record.only_if_regarding, (record.type, record.id)}:
        for activity in links.get(link, []):
            if record.takes(activity):
                found[activity.kind, activity.key] = activity
    return sorted(found.values(), key=lambda activity: (activity.at, activity.kind, activity.direction))


def measures(record, activities, planned, as_of):
    """The columns that all four KPI tables share; `activities` and `planned` meetings are the record's, by time."""
    counts = defaultdict(int)
    for activity in activities:
        counts[activity.kind, activity.direction] += 1
    row = {
        "emails_sent": counts["email", "sent"],
        "emails_received": counts["email", "received"],
        "meetings_sent": counts["meeting", "sent"],
        "meetings_received": counts["meeting", "received"],
        "phone_calls_made": counts["phone_call", "sent"],
        "phone_calls_received": counts["phone_call", "received"],
    }
    row |= _response_measures(activities, as_of)
    row["team_minutes"] = float(sum(team_minutes(a, record.colleagues_in(a)) for a in activities))
    row["customer_minutes"] = float(sum(customer_minutes(a, record.contacts_in(a)) for a in activities))
    row["sent_received_ratio"] = _ratio(row["emails_sent"], row["emails_received"])
    row["received_sent_ratio"] = _ratio(row["emails_received"], row["emails_sent"])
    first, last = (activities[0], activities[-1]) if activities else (None, None)
    row["first_interaction_at"] = first and first.at
    row["last_interaction_at"] = last and last.at
    row["last_interaction_type"] = last and last.kind
    row["last_interaction_direction"] = last and last.direction
    row["days_since_last_interaction"] = last and max(0, (as_of - last.at) // DAY)
    row["next_meeting_at"] = planned[0].at if planned else None
    return row


def _response_measures(activities, as_of):
    emails = [activity for activity in activities if activity.kind == "email" and not activity.bulk]
    theirs = [email for email in emails if not email.by_us]
    ours = [email for email in emails if email.by_us]
    conversations = defaultdict(list)
    for email in emails:
        if email.conversation:
            conversations[email.conversation].append(email)
    openers = [min(messages, key=lambda email: (email.at, email.by_us)) for messages in conversations.values()]
    by_us, by_them = _answers(theirs, conversations, as_of), _answers(ours, conversations, as_of)
    return {
        "replies_by_us": by_us["replies"],
        "replies_by_them": by_them["replies"],
        "conversations_started_by_us": sum(opener.by_us for opener in openers),
        "conversations_started_by_them": sum(not opener.by_us for opener in openers),
        "response_rate_by_us": by_us["rate"],
        "response_rate_by_them": by_them["rate"],
        "median_response_hours_by_us": by_us["median"],
        "median_response_hours_by_them": by_them["median"],
        "mean_response_hours_by_us": by_us["mean"],
        "mean_response_hours_by_them": by_them["mean"],
    }


def _answers(messages, conversations, as_of):
    """N8 one way: how `messages` were answered by the other side of their conversations."""
    answers, hours, due = set(), [], 0
    for message in messages:
        candidates = [
            other
            for other in conversations.get(message.conversation, [])
            if other.by_us != message.by_us and message.at < other.at <= message.at + ANSWER_WITHIN
        ]
        if candidates:
            answer = min(candidates, key=lambda email: (email.at, email.key))
            answers.add(answer.key)
            hours.append((answer.at - message.at) / HOUR)
        if candidates or as_of - message.at >= ANSWER_WITHIN:
            due += 1
    return {
        "replies": len(answers),
        "rate": _ratio(len(hours), due),
        "median": median(hours) if hours else None,
        "mean": mean(hours) if hours else None,
    }


def _ratio(part, whole):
    return part / whole if whole else None


def daily_activity(record, activities):
    rows = []
    for day, of_day in groupby(activities, key=lambda activity: activity.at.date()):
        counts = defaultdict(int)
        for activity in of_day:
            counts[activity.kind, activity.direction] += 1
        rows.append(
            {
                "record_type": record.type,
                "record_id": record.id,
                "day": day,
                "emails_sent": counts["email", "sent"],
                "emails_received": counts["email", "received"],
                "meetings_sent": counts["meeting", "sent"],
                "meetings_received": counts["meeting", "received"],
                "phone_calls_made": counts["phone_call", "sent"],
                "phone_calls_received": counts["phone_call", "received"],
            }
        )
    return rows


def most_contacted(record, activities):
    rows = []
    for side in ("us", "them"):
        of_person = defaultdict(list)
        for activity in activities:
            if activity.kind == "phone_call":
                continue
            for person in _met_on(side, record, activity):
                of_person[person].append(activity)
        ranked = sorted(of_person)
        ranked.sort(key=lambda person: (len(of_person[person]), of_person[person][-1].at), reverse=True)
        for rank, person in enumerate(ranked[:TOP], start=1):
            rows.append(
                {
                    "record_type": record.type,
                    "record_id": record.id,
                    "side": side,
                    "rank": rank,
                    "person_email": person,
                    "emails": sum(activity.kind == "email" for activity in of_person[person]),
                    "meetings": sum(activity.kind == "meeting" for activity in of_person[person]),
                    "last_contact_at": of_person[person][-1].at,
                }
            )
    return rows


def _met_on(side, record, activity):
    if side == "them":
        return record.contacts_in(activity)
    named = activity.inside if activity.by_us else activity.named_inside
    return named if record.team is None else named & record.team


def planned_meetings(planned, account_of):
    return [
        {
            "contact_email": contact,
            "account_id": account_of(contact),
            "start_at": meeting.at,
            "end_at": meeting.end,
            "is_all_day": meeting.all_day,
            "direction": meeting.direction,
            "colleagues": len(meeting.inside),
        }
        for meeting in planned
        for contact in sorted(meeting.outside)
    ]
