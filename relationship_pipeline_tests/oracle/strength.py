"""K1-K4: ties between people in scope and contacts, accounts and each other, with strength, order and reasons.

The specification leaves the formula free but for K2 and K3; what is recounted here is docs/evaluate.md, written down a
second time. Readings:

- Emails and meetings with an audience above 50 neither open the gate nor count towards strength; such emails are in no
  count of a tie, such meetings are in `meetings`.
- The gate of K2 for a company: the colleague wrote to, or met, anybody of it. For two colleagues: any email either way
  or a meeting accepted by both.
- Colleagues with a disabled account are left out (K5).
- Scores that agree to nine digits are equal.
"""

from collections import defaultdict
from itertools import combinations
from math import exp, floor, log, sqrt

from relationship_pipeline_tests.oracle.mail import BULK_RECIPIENTS
from relationship_pipeline_tests.oracle.times import DAY

HALF_LIVES = (7, 30, 90)
FLOOR = 0.1
SHOWN = 5


class Tie:
    """What one colleague has with a contact, an account or another colleague: (activity, outward) pairs, each once."""

    def __init__(self):
        self.shared = {}
        self.met = False

    def add(self, activity, outward, both_accepted):
        self.shared[activity.kind, activity.key] = (activity, outward)
        self.met = self.met or (both_accepted and activity.audience <= BULK_RECIPIENTS)

    @property
    def counted(self):
        return [(activity, out) for activity, out in self.shared.values() if activity.audience <= BULK_RECIPIENTS]

    def emails(self, outward):
        return sum(activity.kind == "email" and out == outward for activity, out in self.counted)

    @property
    def is_shown(self):
        """K2."""
        return bool(self.emails(outward=True) or self.met)

    @property
    def meetings(self):
        return sum(activity.kind == "meeting" for activity, _ in self.shared.values())

    @property
    def last_at(self):
        return max(activity.at for activity, _ in self.counted)


def ties_with(activities, groups_of):
    """-> {(group, colleague): Tie}. `groups_of(contact)`: the contact itself, or its accounts, as a set."""
    found = defaultdict(Tie)
    for activity in activities:
        if activity.kind == "phone_call":
            continue
        groups = {group for contact in activity.outside for group in groups_of(contact)}
        accepting = {group for contact in activity.outside & activity.accepted for group in groups_of(contact)}
        for group in groups:
            for colleague in activity.inside if activity.by_us else activity.named_inside:
                both = colleague in activity.accepted and group in accepting
                found[group, colleague].add(activity, activity.by_us, both)
    return found


def ties_among(activities, people):
    """-> {(later address, earlier address): Tie} among colleagues. An email's `inside` is its sender, `named_inside`
    whom it names."""
    found = defaultdict(Tie)
    for activity in activities:
        if activity.kind == "email":
            (sender,) = activity.inside
            for other in activity.named_inside - {sender}:
                one, two = sorted((sender, other))
                found[two, one].add(activity, sender == one, False)
        else:
            for one, two in combinations(sorted(activity.inside), 2):
                found[two, one].add(activity, False, {one, two} <= activity.accepted)
    return {pair: tie for pair, tie in found.items() if people.users[pair[0]].enabled and people.users[pair[1]].enabled}


def who_knows(column, ties, people, as_of):
    """-> (rows of who_knows_whom or who_knows_company, rows of strength_components)."""
    by_group = defaultdict(list)
    for (group, colleague), tie in ties.items():
        if people.users[colleague].enabled and tie.is_shown:
            by_group[group].append((colleague, tie, score_parts(tie, as_of)))
    rows, components = [], []
    for group, candidates in sorted(by_group.items()):
        candidates.sort(key=lambda found: found[0])
        candidates.sort(key=lambda found: (round(sum(found[2].values()), 9), found[1].last_at), reverse=True)
        for rank, (colleague, tie, parts) in enumerate(candidates[:SHOWN], start=1):
            shown = strength(parts)
            rows.append(
                {
                    column: group,
                    "rank": rank,
                    "colleague_email": colleague,
                    "colleague_name": people.users[colleague].name,
                    "strength": shown,
                    "band": "strong" if shown >= 70 else "medium" if shown >= 40 else "weak",
                    "emails_sent": tie.emails(outward=True),
                    "emails_received": tie.emails(outward=False),
                    "meetings": tie.meetings,
                    "last_interaction_at": tie.last_at,
                    "reasons": _reasons(tie, as_of),
                    "as_of": as_of,
                }
            )
            components += [
                {column: group, "colleague_email": colleague, "component": part, "points": points, "as_of": as_of}
                for part, points in _points(parts, shown).items()
            ]
    return rows, components


def graph(with_contacts, among_colleagues, people, describe, as_of):
    """-> (graph_nodes, graph_edges). `describe(contact)`: its name and account."""
    edges = [
        _edge("colleague_contact", colleague, contact, tie, as_of)
        for (contact, colleague), tie in with_contacts.items()
        if people.users[colleague].enabled and tie.is_shown
    ]
    colleagues = {edge["source"] for edge in edges}
    degrees = defaultdict(int)
    for edge in edges:
        degrees[edge["target"]] += 1
    for (later, earlier), tie in among_colleagues.items():
        if tie.emails(outward=True) or tie.emails(outward=False) or tie.met:
            edges.append(_edge("colleague_colleague", earlier, later, tie, as_of))
            colleagues |= {earlier, later}
    nodes = [_node(name, "colleague", people.users[name].name, None, None, as_of) for name in colleagues]
    nodes += [_node(contact, "contact", *describe(contact), degree, as_of) for contact, degree in degrees.items()]
    return nodes, edges


def _node(node_id, kind, name, account, degree, as_of):
    return {"node_id": node_id, "kind": kind, "name": name, "account_id": account, "degree": degree, "as_of": as_of}


def _edge(kind, source, target, tie, as_of):
    return {
        "source": source,
        "target": target,
        "kind": kind,
        "strength": strength(score_parts(tie, as_of)),
        "first_interaction_at": min(activity.at for activity, _ in tie.counted),
        "last_interaction_at": tie.last_at,
        "emails": tie.emails(outward=True) + tie.emails(outward=False),
        "meetings": tie.meetings,
        "as_of": as_of,
    }


def score_parts(tie, as_of):
    """The five parts of docs/evaluate.md; they sum to the score."""
    days_of_contact = {activity.at.replace(hour=0, minute=0, second=0, microsecond=0) for activity, _ in tie.counted}
    parts = {"last_contact": log(1 + 0.5 ** ((as_of - tie.last_at) / DAY / 4) / FLOOR)}
    for half_life in HALF_LIVES:
        out = inward = 0.0
        for activity, is_out in tie.counted:
            weight = min(1, 4 / max(activity.audience, 1)) * 0.5 ** ((as_of - activity.at) / DAY / half_life)
            out += weight if is_out or activity.kind == "meeting" else 0
            inward += weight if not is_out or activity.kind == "meeting" else 0
        days = sum(0.5 ** ((as_of - day) / DAY / half_life) for day in days_of_contact)
        parts[f"half_life_{half_life}"] = log(1 + (out + inward + sqrt(out * inward) + 3 * days) / FLOOR)
    parts["months"] = 1.5 * log(_months(tie))
    return parts


def strength(parts):
    return max(1, round(100 * (1 - exp(-((sum(parts.values()) / 18) ** 3)))))


def _months(tie):
    return len({(activity.at.year, activity.at.month) for activity, _ in tie.counted})


def _points(parts, shown):
    whole = sum(parts.values())
    shares = {part: round(shown * value / whole, 9) for part, value in parts.items()}
    points = {part: floor(share) for part, share in shares.items()}
    by_remainder = sorted(parts, key=lambda part: points[part] - shares[part])
    for part in by_remainder[: shown - sum(points.values())]:
        points[part] += 1
    return points


def _reasons(tie, as_of):
    days = (as_of - tie.last_at) // DAY
    sent, received, months = tie.emails(outward=True), tie.emails(outward=False), _months(tie)
    told = ["in touch today" if days < 1 else f"in touch {_count(days, 'day')} ago"]
    if sent:
        told.append(f"{_count(sent, 'email')} out" + (f" and {received} back" if received else ", none back"))
    elif received:
        told.append(f"{_count(received, 'email')} in, none out")
    if tie.meetings:
        told.append(_count(tie.meetings, "meeting"))
    if months > 1:
        told.append(f"contact in {min(months, 12)} of 12 months")
    return ", ".join(told)


def _count(number, noun):
    return f"{number} {noun}" + ("" if number == 1 else "s")
