"""How well a score ranks: area under the ROC curve, average precision, and an interval for a mean over cuts.

Over whole arrays, in one sort; ties between equal scores are counted as the literature does (half a win for AUC, one
threshold for average precision). Nothing here knows what the scores are about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

BOOTSTRAP_SAMPLES = 2_000
_SEED = 20_011_202
"""Fixed, so that the same data give the same interval."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over cuts with its 95 % bootstrap interval (percentiles, cuts drawn with replacement)."""

    value: float
    low: float
    high: float


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Chance that a positive stands above a negative, ties half (Mann-Whitney U). Needs both classes."""
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(sizes) - (sizes - 1) / 2
    positives = int(labels.sum())
    negatives = labels.size - positives
    rank_sum = float(mean_ranks[place[labels]].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(labels: Labels, scores: Scores) -> float:
    """Sum over distinct thresholds of (recall gained) x (precision there). Needs a positive."""
    distinct, place = np.unique(-scores, return_inverse=True)
    kept = np.cumsum(np.bincount(place, minlength=distinct.size))
    found = np.cumsum(np.bincount(place, weights=labels.astype(np.float64), minlength=distinct.size))
    gained = np.diff(found, prepend=0.0)
    return float((gained * found / kept).sum() / found[-1])


def mean_over_cuts(values: Sequence[float]) -> Mean:
    """The mean of one figure a cut and its interval. Needs at least one value."""
    figures = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(_SEED).integers(0, figures.size, size=(BOOTSTRAP_SAMPLES, figures.size))
    low, high = np.percentile(figures[draws].mean(axis=1), [2.5, 97.5])
    return Mean(float(figures.mean()), float(low), float(high))


def ranks_within(groups: npt.NDArray[Any], *keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """1-based place of each row in its group when rows are ordered by `keys`, the first key first, all ascending."""
    order = np.lexsort((*reversed(keys), groups))
    sorted_groups = groups[order]
    starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    sizes = np.diff(np.r_[starts, groups.size])
    ranks = np.empty(groups.size, dtype=np.int64)
    ranks[order] = np.arange(groups.size) - np.repeat(starts, sizes) + 1
    return ranks


def best_within(groups: npt.NDArray[Any], ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest rank of each group that occurs, in the groups' order."""
    distinct, place = np.unique(groups, return_inverse=True)
    best = np.full(distinct.size, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(best, place, ranks)
    return best
