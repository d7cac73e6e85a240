"""Calibration: whether an event that is given 30 % happens in 30 of 100 cases, and a correction where it does not.

The correction is logistic on the log-odds (Platt, 1999), with further features of a case:
p' = 1 / (1 + exp(-(shift + slope * logit p + sum of effect * feature))).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.btyd import Floats

LEAST = 1e-6  # probabilities are clipped to this distance from 0 and 1
STEPS = 50  # of Newton's method, which takes five or so
BINS = 10
EFFECTS_PRIOR = 50.0  # precision of the normal prior of effects around 0; that of shift and slope around (0, 1) is 1


@dataclass(frozen=True)
class Correction:
    """`shift`, `slope` and `effects` on the log-odds; (0, 1) without effects changes nothing."""

    shift: float = 0.0
    slope: float = 1.0
    effects: tuple[float, ...] = ()

    def __call__(self, p: Floats, features: Sequence[Floats] = ()) -> Floats:
        """The corrected probabilities; `features` has a column for each effect."""
        if self == Correction():
            return p
        odds = self.shift + self.slope * _logit(p)
        for effect, feature in zip(self.effects, features, strict=False):
            odds = odds + effect * feature
        return np.where(p > 0, 1 / (1 + np.exp(-odds)), 0.0)


@dataclass(frozen=True)
class Cases:
    """Cases of one period: the probabilities that were given, features, and what happened."""

    p: Floats
    happened: NDArray[np.bool_]
    features: Sequence[Floats] = ()


def learn(periods: Sequence[Cases]) -> Correction:
    """The correction with the largest posterior probability; none if it would reverse the order.

    Slope and effects are of all periods, each of which has a shift of its own; that of the first one, the latest, is
    returned, since the level changes with the season.
    """
    if not sum(len(cases.p) for cases in periods):
        return Correction()
    level = np.concatenate([np.full(len(cases.p), place) for place, cases in enumerate(periods)])
    columns = [(level == place).astype(np.float64) for place in range(len(periods))]
    columns.append(_logit(np.concatenate([cases.p for cases in periods])))
    columns += [np.concatenate(each) for each in zip(*(cases.features for cases in periods), strict=True)]
    x, y = np.stack(columns, axis=1), np.concatenate([cases.happened for cases in periods]).astype(np.float64)
    shifts = len(periods)
    expected = np.zeros(len(columns))
    expected[shifts] = 1.0
    prior = np.where(np.arange(len(columns)) <= shifts, 1.0, EFFECTS_PRIOR)
    theta = expected.copy()
    for _ in range(STEPS):
        q = 1 / (1 + np.exp(-np.clip(x @ theta, -35, 35)))
        gradient = (y - q) @ x - prior * (theta - expected)
        hessian = (x * (q * (1 - q))[:, None]).T @ x + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        theta = theta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    slope, effects = float(theta[shifts]), tuple(float(effect) for effect in theta[shifts + 1 :])
    return Correction(float(theta[0]), slope, effects) if slope > 0.05 else Correction()


def log_loss(p: Floats, happened: NDArray[np.bool_]) -> Floats:
    """Each case's -ln of the probability of its outcome."""
    p = np.clip(p, LEAST, 1 - LEAST)
    return -np.log(np.where(happened, p, 1 - p))


def calibration_error(p: Floats, happened: NDArray[np.bool_]) -> float:
    """The expected calibration error: |mean probability - share that happened| of ten equal bins, weighted by cases."""
    if not len(p):
        return 0.0
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return float(np.abs(np.bincount(bins, p, BINS) - np.bincount(bins, happened, BINS)).sum() / len(p))


def auc(p: Floats, happened: NDArray[np.bool_]) -> float | None:
    """The area under the ROC curve; ties count half. None without both outcomes."""
    positives = int(np.count_nonzero(happened))
    if positives in (0, len(p)):
        return None
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[happened].sum() - positives * (positives + 1) / 2) / (positives * (len(p) - positives)))


def _logit(p: Floats) -> Floats:
    p = np.clip(p, LEAST, 1 - LEAST)
    return np.log(p) - np.log1p(-p)
