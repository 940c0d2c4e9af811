"""product.md 7: health of a record, its parts, reasons, trend, history and alerts, from its activities.

The specification leaves the formula free; what is recounted here is docs/scores.md, written down a second time.
Readings:

- Days are UTC dates, and the day of `as_of` is that of the last instant before it. What a sender's clock puts after it
  counts as of that day.
- `asked` are emails that were answered or are due (N8), at the end of a past month every email up to then; `answered`
  are those that were answered, whenever.
- Remainders and sums are compared to nine digits: what is equal on paper is equal.
- An account, where accounts are graded, has the mean of its contacts' points before rounding, weighted by interactions,
  contacts without a score left out; its counts are theirs added, its last contact the latest of theirs.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from math import floor, log, log2, sqrt
from statistics import median

from relationship_pipeline_tests.oracle.times import DAY, HOUR, month_after, month_of, month_start, year_before

PARTS = ("activity", "recency", "engagement", "responsiveness")
ACTIVITY_HALF_LIFE = 60
ANSWER_HALF_LIFE_HOURS = 72
FEWEST = 3
RECENT, BASE = 14, 56
QUIET, LAPSED = 3, 8
LIVE_DAYS = 90
ANSWER_WITHIN = timedelta(hours=168)


@dataclass
class HealthRules:
    """The settings of `[health]`, at their defaults."""

    weights: dict = field(default_factory=lambda: {"email": 6, "meeting": 6, "phone_call": 6})
    cadence: int = 7
    good_from: int = 60
    fair_from: int = 40
    maxima: dict = field(default_factory=lambda: dict(zip(PARTS, (30, 30, 20, 20), strict=True)))
    accounts: bool = False


@dataclass
class Standing:
    """What a score is made of, and its points before rounding."""

    interactions: int
    silent_days: int
    ours: int
    theirs: int
    answered: int
    asked: int
    points: dict


@dataclass
class Health:
    """All that is told of one record. `months`: month -> (score or None, state), oldest first."""

    score: int | None
    state: str
    trend: str
    reasons: str | None
    components: list
    months: dict
    now: Standing | None
    usual_gap: float | None


def judge(activities, answers, as_of, rules, closed=None, rolled_up=None):
    """The health of one record.

    `answers` maps the key of each of its emails that is not bulk to the answering email's instant or None. `closed` is
    None for what is never closed or still open, else the instant it was closed, or True where that is not known.
    `rolled_up` are, of an account, the `standings` of its contacts; its own activities do not count then.
    """
    standing_at = standings(activities, answers, as_of, rules) if rolled_up is None else roll_up(rolled_up, rules)
    scores = {month: standing and _score(standing.points) for month, standing in standing_at.items()}
    now = standing_at.get(month_of(_last_instant(as_of)))
    score = now and _score(now.points)
    gap = _usual_gap(activities) if rolled_up is None else None
    if rolled_up is not None and not rules.accounts:
        state = "not_applicable"
    elif closed is not None:
        state = _closed_state(closed, as_of)
    else:
        state = state_of(score, rules)
    told = state in ("good", "fair", "poor")
    rows = _component_rows(now, rules) if told else []
    return Health(
        score=score if told else None,
        state=state,
        trend=_trend(activities if rolled_up is None else [], now, gap, as_of, state, rules),
        reasons=_reasons(state, rows) if told else None,
        components=[(row["component"], row["points"], row["detail"]) for row in rows],
        months={month: _told_of_month(month, score, closed, as_of, rules) for month, score in scores.items()},
        now=now if told else None,
        usual_gap=gap,
    )


def _closed_state(closed, instant):
    long_ago = closed is not True and closed < _two_years_before(instant)
    return "older_than_two_years" if long_ago else "not_applicable"


def _told_of_month(month, score, closed, as_of, rules):
    """-> (score, state) at the month's end, or at `as_of`."""
    is_now = month == month_of(_last_instant(as_of))
    instant = as_of if is_now else month_start(month_after(month))
    if closed is not None and (is_now or (closed is not True and closed < instant)):
        return None, _closed_state(closed, instant)
    return score, state_of(score, rules)


def answers_of(activities):
    """N8: of each email that is not bulk, when it was answered, or None."""
    emails = [activity for activity in activities if activity.kind == "email" and not activity.bulk]
    found = {}
    for email in emails:
        later = [
            other.at
            for other in emails
            if email.conversation is not None
            and other.conversation == email.conversation
            and other.by_us != email.by_us
            and email.at < other.at <= email.at + ANSWER_WITHIN
        ]
        found[email.key] = min(later, default=None)
    return found


def standings(activities, answers, as_of, rules):
    """month -> Standing at its end (of the last, at `as_of`), None with too few interactions; months before the first
    interaction are left out."""
    last = month_of(_last_instant(as_of))
    month, found = month_of(year_before(as_of)), {}
    while month <= last:
        is_now = month == last
        on_day = (
            _last_instant(as_of) if is_now else month_start(month_after(month)) - timedelta(microseconds=1)
        ).date()
        seen = [activity for activity in activities if is_now or activity.at.date() <= on_day]
        if seen:
            due_before = as_of - ANSWER_WITHIN if is_now else None
            found[month] = _standing(seen, answers, on_day, due_before, rules) if len(seen) >= FEWEST else None
        month = month_after(month)
    return found


def _standing(seen, answers, on_day, due_before, rules):
    level = sum(
        rules.weights[activity.kind] / 6 * 0.5 ** ((on_day - min(activity.at.date(), on_day)).days / ACTIVITY_HALF_LIFE)
        for activity in seen
    )
    expected = 1 / (1 - 0.5 ** (rules.cadence / ACTIVITY_HALF_LIFE))
    silent = max((on_day - max(activity.at.date() for activity in seen)).days, 0)
    ours = sum(activity.by_us or activity.kind == "meeting" for activity in seen)
    theirs = sum(not activity.by_us or activity.kind == "meeting" for activity in seen)
    sides, answered_in_all, asked_in_all = [], 0, 0
    for by_us in (True, False):
        asked = [email for email in seen if email.key in answers and email.kind == "email" and email.by_us != by_us]
        hours = [(answers[email.key] - email.at) / HOUR for email in asked if answers[email.key]]
        due = sum(1 for email in asked if answers[email.key] or due_before is None or email.at <= due_before)
        answered_in_all, asked_in_all = answered_in_all + len(hours), asked_in_all + due
        if due:
            mean = sum(hours) / len(hours) if hours else 0
            sides.append(len(hours) / due * 0.5 ** (mean / ANSWER_HALF_LIFE_HOURS))
    shares = {
        "activity": min(1, log2(1 + level / expected)),
        "recency": 0.5 ** (silent / (2 * rules.cadence)),
        "engagement": 2 * min(ours, theirs) / (ours + theirs),
        "responsiveness": sum(sides) / len(sides) if sides else 0.5,
    }
    points = {part: rules.maxima[part] * shares[part] for part in PARTS}
    return Standing(len(seen), silent, ours, theirs, answered_in_all, asked_in_all, points)


def roll_up(of_contacts, rules):
    """month -> Standing of an account from those of its contacts; empty where accounts are not graded."""
    by_month = defaultdict(list)
    for standing_at in of_contacts if rules.accounts else ():
        for month, standing in standing_at.items():
            if standing:
                by_month[month].append(standing)
    found = {}
    for month, of_month in sorted(by_month.items()):
        interactions = sum(standing.interactions for standing in of_month)
        found[month] = Standing(
            interactions=interactions,
            silent_days=min(standing.silent_days for standing in of_month),
            ours=sum(standing.ours for standing in of_month),
            theirs=sum(standing.theirs for standing in of_month),
            answered=sum(standing.answered for standing in of_month),
            asked=sum(standing.asked for standing in of_month),
            points={
                part: sum(standing.points[part] * standing.interactions for standing in of_month) / interactions
                for part in PARTS
            },
        )
    return found


def _last_instant(as_of):
    return as_of - timedelta(microseconds=1)


def _two_years_before(as_of):
    return year_before(year_before(as_of))


def _score(points):
    return floor(round(sum(points.values()), 9) + 0.5)


def _whole_points(points):
    """Largest remainder; of equal remainders the earlier part's goes up."""
    whole = {part: floor(round(points[part], 9)) for part in PARTS}
    by_remainder = sorted(PARTS, key=lambda part: -round(points[part] - whole[part], 9))
    for part in by_remainder[: _score(points) - sum(whole.values())]:
        whole[part] += 1
    return whole


def state_of(score, rules):
    if score is None:
        return "not_enough_info"
    return "good" if score >= rules.good_from else "fair" if score >= rules.fair_from else "poor"


def _days(activities):
    return sorted({activity.at.date() for activity in activities})


def _usual_gap(activities):
    days = _days(activities)
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    return median(gaps) if gaps else None


def _trend(activities, now, gap, as_of, state, rules):
    if state in ("not_applicable", "older_than_two_years"):
        return "not_applicable"
    today = _last_instant(as_of).date()
    days = _days(activities)
    if state == "not_enough_info" or not days or (today - days[0]).days + 1 < RECENT + BASE:
        return "not_enough_info"
    weighed = [((today - activity.at.date()).days, rules.weights[activity.kind] / 6) for activity in activities]
    recent = sum(weight for age, weight in weighed if age < RECENT)
    base = sum(weight for age, weight in weighed if RECENT <= age < RECENT + BASE)
    change = log(((recent + 0.5) / RECENT) / ((base + 0.5) / BASE))
    if abs(change) < max(0.5, sqrt(1 / (recent + 0.5) + 1 / (base + 0.5))):
        return "steady"
    if change > 0:
        return "improving"
    return "declining" if now.silent_days > (gap or 0) else "steady"


def _component_rows(now, rules):
    points = _whole_points(now.points)
    silent, cadence = now.silent_days, rules.cadence
    ago = "today" if silent == 0 else "yesterday" if silent == 1 else f"{silent} days ago"
    told = {
        "activity": (
            f"{now.interactions} interactions in the year, one expected every {_days_text(cadence)}",
            "contact is about as frequent as expected",
            "contact is rarer than expected",
        ),
        "recency": (
            f"last contact {_days_text(silent)} ago",
            f"the last contact was {ago}",
            f"the last contact was {silent} days ago",
        ),
        "engagement": (
            f"{now.ours} interactions from our side, {now.theirs} from theirs (a meeting is both)",
            "both sides take part",
            f"it is mostly {'our' if now.ours > now.theirs else 'their'} side that writes",
        ),
        "responsiveness": (
            f"{now.answered} of {now.asked} emails answered within 7 days"
            if now.asked
            else "no email was due for an answer",
            "emails are answered" if now.asked else "no email waits for an answer",
            "emails wait long or stay unanswered",
        ),
    }
    return [
        {
            "component": part,
            "points": points[part],
            "detail": told[part][0],
            "effect": points[part] - rules.maxima[part] / 2,
            "gain": told[part][1],
            "loss": told[part][2],
        }
        for part in PARTS
    ]


def _days_text(number):
    return "1 day" if number == 1 else f"{number} days"


def _reasons(state, rows):
    """The two parts furthest above half of their maximum for a good state, below for a poor one, either way for fair."""
    weight = {"good": lambda effect: effect, "poor": lambda effect: -effect, "fair": abs}[state]
    first, second, *_ = sorted(rows, key=lambda row: -weight(row["effect"]))
    told = [row["gain"] if row["effect"] >= 0 else row["loss"] for row in (first, second)]
    return f"{state.capitalize()}: {told[0]} and {told[1]}."


def silence_alert(health, last_at):
    """-> (kind, since, detail) of a record that has gone quiet, or None."""
    if health.now is None or health.usual_gap is None:
        return None
    gap = max(health.usual_gap, 1)
    silent = health.now.silent_days
    if silent <= QUIET * gap:
        return None
    kind, gaps = ("lapsed", LAPSED) if silent > LAPSED * gap else ("going_quiet", QUIET)
    usually = "day" if gap == 1 else f"{gap:g} days"
    return kind, last_at + gaps * gap * DAY, f"silent for {silent} days; usually in contact every {usually}"


def single_threaded(interactions, first_at, members, as_of):
    """-> (kind, since, detail) of an account with one live contact, or None. `members`: the last interaction of
    each of its contacts, None of one that only the CRM knows."""
    in_touch = [last for last in members if last]
    live = [last for last in in_touch if max((as_of - last) // DAY, 0) < LIVE_DAYS]
    if len(live) != 1 or interactions < FEWEST:
        return None
    others = [last + timedelta(days=LIVE_DAYS) for last in in_touch if last not in live]
    detail = (
        "one contact only"
        if len(members) == 1
        else f"one of {len(members)} contacts was in touch in the last {LIVE_DAYS} days"
    )
    return "single_threaded", max(others, default=first_at), detail
