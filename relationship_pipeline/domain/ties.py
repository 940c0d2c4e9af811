"""How strong the tie between a colleague and a contact is, and why (product.md K1-K3). Pure.

Everything a score needs is a handful of sums that add up over months: per half-life the discounted weight of messages
out, messages in and meetings, and the discounted count of days with contact; beside them the last contact and the
number of calendar months with contact. `docs/evaluate.md` says how each term was chosen and what it is worth.

The same arithmetic stands as DuckDB macros in `insights/tie_macros.sql`; a test holds the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import StrEnum

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class TieConstants:
    """The one versioned set of constants behind a strength. Raises ValueError where one would break a property.

    A new value of any of them is a new `version`: strengths of different versions are not comparable.
    """

    version: int = 2
    half_lives_days: tuple[float, float, float] = (7.0, 30.0, 90.0)
    """K3: one time scale is not enough."""
    floor: float = 0.1
    """K3: what stands under each logarithm for a tie without contact."""
    full_audience: int = 4
    """K2: up to this many distinct recipients a message counts whole, above it full_audience / n."""
    largest_audience: int = 50
    """K2: above this many distinct recipients a message does not count at all."""
    reciprocity: float = 1.0
    """Weight of the geometric mean of the two directions, so that the same mail counts more when both write."""
    meeting: float = 1.0
    """A meeting stands for this many messages each way."""
    contact_day: float = 3.0
    """What a UTC day with any contact counts beside its messages: ten mails on one day are not ten days of contact."""
    last_contact: float = 1.0
    """Weight of the recency of the last contact."""
    last_contact_half_life_days: float = 4.0
    months: float = 1.5
    """Weight of the logarithm of the calendar months with contact in the window."""
    strength_scale: float = 18.0
    """The score at which a tie reaches 63 of 100. With the power it makes a strength read roughly as the chance in 100
    of contact within 30 days, as measured on real mail."""
    strength_power: float = 3.0
    strong_from: int = 70
    medium_from: int = 40

    def __post_init__(self) -> None:
        positive = {
            "half_lives_days": min(self.half_lives_days),
            "floor": self.floor,
            "full_audience": self.full_audience,
            "last_contact_half_life_days": self.last_contact_half_life_days,
            "strength_scale": self.strength_scale,
            "strength_power": self.strength_power,
        }
        weights = {
            "reciprocity": self.reciprocity,
            "meeting": self.meeting,
            "contact_day": self.contact_day,
            "last_contact": self.last_contact,
            "months": self.months,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0")
        for name, value in weights.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be below 0: a further message would weaken a tie")
        if not list(self.half_lives_days) == sorted(set(self.half_lives_days)):
            raise ValueError("half_lives_days must rise")
        if self.largest_audience < self.full_audience:
            raise ValueError("largest_audience must not be below full_audience")
        if not 1 < self.medium_from < self.strong_from <= 100:
            raise ValueError("1 < medium_from < strong_from <= 100 must hold")


DEFAULT_CONSTANTS = TieConstants()


class Kind(StrEnum):
    """Of an interaction, seen from the colleague."""

    OUTWARD = "outward"
    INWARD = "inward"
    MEETING = "meeting"


@dataclass(frozen=True, slots=True)
class Interaction:
    """One message or meeting between the two. `audience`: distinct recipients, or the meeting's other participants."""

    at: datetime
    kind: Kind
    audience: int = 1


@dataclass(frozen=True, slots=True)
class ScaleSums:
    """Sums for one half-life h, each term discounted by 0.5 ^ (age in days / h)."""

    outward: float = 0.0
    inward: float = 0.0
    meetings: float = 0.0
    days: float = 0.0
    """Over UTC days with contact, each by the age of its beginning; a day counts once, whatever its audience."""


@dataclass(frozen=True, slots=True)
class TieSums:
    """All that a score is made of. `scales` follow `TieConstants.half_lives_days`."""

    scales: tuple[ScaleSums, ...]
    last_contact_age_days: float
    months: int
    """Calendar months (UTC) of the window with contact; at least 1."""


class Band(StrEnum):
    STRONG = "strong"
    MEDIUM = "medium"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person is shown for a strength: dates and counts within the window (K7), no content."""

    emails_sent: int
    emails_received: int
    meetings: int
    months: int
    last_interaction_at: datetime


def audience_weight(audience: int, constants: TieConstants = DEFAULT_CONSTANTS) -> float:
    """Weight of one message by its distinct recipients, 0 to 1 (K2)."""
    if audience > constants.largest_audience:
        return 0.0
    return min(1.0, constants.full_audience / max(audience, 1))


def tie_sums(
    interactions: Iterable[Interaction], as_of: datetime, constants: TieConstants = DEFAULT_CONSTANTS
) -> TieSums | None:
    """The sums of one pair from its interactions before `as_of`; None without one that counts.

    The caller bounds the window from below (N5). This is the definition; months at scale are summed in SQL.
    """
    counted = [
        (item, audience_weight(item.audience, constants), (as_of - item.at).total_seconds() / _DAY)
        for item in interactions
        if item.at < as_of and item.audience <= constants.largest_audience
    ]
    if not counted:
        return None
    days = {item.at.astimezone(UTC).date() for item, _, _ in counted}
    day_ages = [(as_of - datetime.combine(day, time.min, UTC)).total_seconds() / _DAY for day in days]

    def scale(half_life: float) -> ScaleSums:
        by_kind = dict.fromkeys(Kind, 0.0)
        for item, weight, age in counted:
            by_kind[item.kind] += weight * 0.5 ** (age / half_life)
        return ScaleSums(
            outward=by_kind[Kind.OUTWARD],
            inward=by_kind[Kind.INWARD],
            meetings=by_kind[Kind.MEETING],
            days=sum(0.5 ** (age / half_life) for age in day_ages),
        )

    return TieSums(
        scales=tuple(scale(half_life) for half_life in constants.half_lives_days),
        last_contact_age_days=min(age for _, _, age in counted),
        months=len({(day.year, day.month) for day in days}),
    )


def score_parts(sums: TieSums, constants: TieConstants = DEFAULT_CONSTANTS) -> dict[str, float]:
    """The score by time scale, none below 0: `last_contact`, one `half_life_<days>` each, `months`. Sums to the score.

    Each logarithm is taken relative to `floor`, which shifts K3's base score by a constant and lets silence be 0.
    """
    recency = 0.5 ** (sums.last_contact_age_days / constants.last_contact_half_life_days)
    parts = {"last_contact": constants.last_contact * math.log(1 + recency / constants.floor)}
    for half_life, scale in zip(constants.half_lives_days, sums.scales, strict=True):
        parts[f"half_life_{half_life:g}"] = math.log(1 + _intensity(scale, constants) / constants.floor)
    parts["months"] = constants.months * math.log(max(sums.months, 1))
    return parts


def _intensity(scale: ScaleSums, constants: TieConstants) -> float:
    outward = scale.outward + constants.meeting * scale.meetings
    inward = scale.inward + constants.meeting * scale.meetings
    return outward + inward + constants.reciprocity * math.sqrt(outward * inward) + constants.contact_day * scale.days


def score(sums: TieSums, constants: TieConstants = DEFAULT_CONSTANTS) -> float:
    """The unbounded score of a pair, at least 0: what ties are ordered by and what `evaluate` measures."""
    return math.fsum(score_parts(sums, constants).values())


def strength(score: float, constants: TieConstants = DEFAULT_CONSTANTS) -> float:
    """A score on the fixed 0-100 map, rising with it. No rank and no tenant's maximum takes part (K3)."""
    return -100.0 * math.expm1(-((score / constants.strength_scale) ** constants.strength_power))


def displayed_strength(score: float, constants: TieConstants = DEFAULT_CONSTANTS) -> int:
    """The strength people see, 1-100: a tie that exists is never shown as 0 (K1: weak is 1-39)."""
    return max(1, round(strength(score, constants)))


def points(parts: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole points of each part that sum to `total`, shared in proportion by largest remainder (interfaces.md 6).

    Equal remainders go to the earlier part. Parts that are all 0 leave everything to the first.
    """
    whole = math.fsum(parts.values())
    shares = (
        [total * value / whole for value in parts.values()] if whole > 0 else [float(total)] + [0.0] * (len(parts) - 1)
    )
    floors = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (floors[i] - shares[i], i))
    for i in by_remainder[: total - sum(floors)]:
        floors[i] += 1
    return dict(zip(parts, floors, strict=True))


def band(displayed: int, constants: TieConstants = DEFAULT_CONSTANTS) -> Band:
    """The band of a displayed strength (K1)."""
    if displayed >= constants.strong_from:
        return Band.STRONG
    return Band.MEDIUM if displayed >= constants.medium_from else Band.WEAK


def reasons(evidence: Evidence, as_of: datetime) -> Sequence[str]:
    """Plain words for a tie, the most telling first: when last, how much each way, meetings, how long."""
    days = int((as_of - evidence.last_interaction_at).total_seconds() // _DAY)
    said = ["in touch today" if days < 1 else f"in touch {_count(days, 'day')} ago"]
    sent, received = evidence.emails_sent, evidence.emails_received
    if sent and received:
        said.append(f"{_count(sent, 'email')} out and {received} back")
    elif sent:
        said.append(f"{_count(sent, 'email')} out, none back")
    elif received:
        said.append(f"{_count(received, 'email')} in, none out")
    if evidence.meetings:
        said.append(_count(evidence.meetings, "meeting"))
    if evidence.months > 1:
        said.append(f"contact in {min(evidence.months, 12)} of 12 months")
    return said


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
