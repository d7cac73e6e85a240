"""Calibration: whether an event that is given 30 % happens in 30 of 100 cases, and a correction where it does not.

The correction is logistic on the log-odds (Platt, 1999): p' = 1 / (1 + exp(-(shift + slope * logit p))). It keeps the
order of customers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.btyd import Floats

LEAST = 1e-6  # probabilities are clipped to this distance from 0 and 1
STEPS = 50  # of Newton's method, which takes five or so
BINS = 10


@dataclass(frozen=True)
class Correction:
    """`shift` and `slope` on the log-odds; (0, 1) changes nothing."""

    shift: float = 0.0
    slope: float = 1.0

    def __call__(self, p: Floats) -> Floats:
        """The corrected probabilities."""
        if self == Correction():
            return p
        return np.where(p > 0, 1 / (1 + np.exp(-(self.shift + self.slope * _logit(p)))), 0.0)


def learn(p: Floats, happened: NDArray[np.bool_]) -> Correction:
    """The maximum-likelihood correction for the outcomes; none if it would reverse the order.

    One case of each outcome is added at the mean of the uncorrected probabilities, so that the maximum is finite.
    """
    if not len(p):
        return Correction()
    x, y = _logit(p), happened.astype(np.float64)
    theta, prior = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    for _ in range(STEPS):
        q = 1 / (1 + np.exp(-np.clip(theta[0] + theta[1] * x, -35, 35)))
        w = q * (1 - q)
        gradient = np.array([(y - q).sum(), ((y - q) * x).sum()]) - prior * (theta - [0.0, 1.0])
        hessian = np.array([[w.sum(), (w * x).sum()], [(w * x).sum(), (w * x * x).sum()]]) + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        theta = theta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return Correction(float(theta[0]), float(theta[1])) if theta[1] > 0.05 else Correction()


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
