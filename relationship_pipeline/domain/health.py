"""How healthy a relationship is, 0 to 100, and why (product.md 7). Pure; no sentiment, because no content is read.

Four parts: activity against the expected cadence, recency, two-way engagement, responsiveness. Each is a share, 0 to 1,
of a maximum from the settings; the maxima sum to 100. This is the definition; `insights/health_macros.sql` says the same
for whole tables, and a test holds the two equal. Worked example: docs/scores.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

COMPONENTS = ("activity", "recency", "engagement", "responsiveness")


@dataclass(frozen=True, slots=True)
class HealthConstants:
    """What the settings do not say. A change of any of them changes scores: raise `version`."""

    version: int = 1
    half_life_days: float = 60.0
    """Activity halves in this time: of 30, 60 and 90 days the one that best foretold silence on real mail."""
    recency_cadences: float = 2.0
    """Recency halves with every so many cadences of silence."""
    answer_half_life_hours: float = 72.0
    """An answer that takes this long on average counts half."""
    unknown_responsiveness: float = 0.5
    """Share where no email of either side was due for an answer."""
    fewest_interactions: int = 3
    """With fewer in the window there is no score."""
    recent_days: int = 14
    base_days: int = 56
    """Trend: the last 14 days' rate against that of the 56 days before."""
    trend_step: float = 0.5
    """Smallest change of the logarithm of the rate that counts."""
    trend_noise: float = 1.0
    """And it must exceed the chance variation of the counts this many times."""
    quiet_gaps: float = 3.0
    lapsed_gaps: float = 8.0
    """Alerts: silence above so many of the relationship's own median gaps."""
    live_days: int = 90
    """A contact with an interaction within so many days is live."""


DEFAULT_CONSTANTS = HealthConstants()


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What a score is made of, over the window. `activity`: interactions by their weight / 6, each halved every
    `half_life_days` since its day. `answered_…`: emails that this side answered; `asked_…`: emails of the other side
    that were answered or are due; hours are means. Meetings count for both sides."""

    activity: float
    days_since_last: float
    ours: float
    theirs: float
    answered_by_us: int = 0
    asked_by_them: int = 0
    hours_by_us: float = 0.0
    answered_by_them: int = 0
    asked_by_us: int = 0
    hours_by_them: float = 0.0


def shares(inputs: HealthInputs, cadence_days: float, k: HealthConstants = DEFAULT_CONSTANTS) -> dict[str, float]:
    """The share of each part's maximum, 0 to 1, by component."""
    return {
        "activity": min(1.0, math.log2(1 + inputs.activity / expected_activity(cadence_days, k))),
        "recency": 0.5 ** (max(inputs.days_since_last, 0) / (k.recency_cadences * cadence_days)),
        "engagement": 2 * min(inputs.ours, inputs.theirs) / max(inputs.ours + inputs.theirs, 1),
        "responsiveness": _responsiveness(inputs, k),
    }


def expected_activity(cadence_days: float, k: HealthConstants = DEFAULT_CONSTANTS) -> float:
    """The activity of a relationship with one interaction every `cadence_days`, for ever."""
    return 1 / (1 - 0.5 ** (cadence_days / k.half_life_days))


def _responsiveness(inputs: HealthInputs, k: HealthConstants) -> float:
    sides = [
        answered / asked * 0.5 ** (hours / k.answer_half_life_hours)
        for answered, asked, hours in (
            (inputs.answered_by_us, inputs.asked_by_them, inputs.hours_by_us),
            (inputs.answered_by_them, inputs.asked_by_us, inputs.hours_by_them),
        )
        if asked > 0
    ]
    return sum(sides) / len(sides) if sides else k.unknown_responsiveness


def points(shares_of: Mapping[str, float], maxima: Mapping[str, int]) -> dict[str, int]:
    """Whole points by component; their sum is the score. The sum is rounded, then shared by largest remainder, equal
    remainders to the earlier component."""
    parts = {component: shares_of[component] * maxima[component] for component in COMPONENTS}
    total = math.floor(math.fsum(parts.values()) + 0.5)
    whole = {component: math.floor(part) for component, part in parts.items()}
    by_remainder = sorted(COMPONENTS, key=lambda component: whole[component] - parts[component])
    for component in by_remainder[: total - sum(whole.values())]:
        whole[component] += 1
    return whole


def state(score: int | None, good_from: int, fair_from: int) -> str:
    """The band of a score; neighbours move together, since each ends where the next begins."""
    if score is None:
        return "not_enough_info"
    if score >= good_from:
        return "good"
    return "fair" if score >= fair_from else "poor"


def trend(recent: float, base: float, days_since_last: float, usual_gap: float, k: HealthConstants) -> str:
    """Improving, steady or declining: interactions of the last `recent_days` against the `base_days` before, on a log
    scale and beyond what chance does to counts. A relationship does not decline within a silence that is usual for it."""
    change = math.log(((recent + 0.5) / k.recent_days) / ((base + 0.5) / k.base_days))
    noise = math.sqrt(1 / (recent + 0.5) + 1 / (base + 0.5))
    if abs(change) < max(k.trend_step, k.trend_noise * noise):
        return "steady"
    if change > 0:
        return "improving"
    return "declining" if days_since_last > usual_gap else "steady"
